"""The real ``pynvml`` over a fake library: what it cannot show is the driver itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_nvml import (
    LOST,
    MISMATCH,
    MISSING,
    NO_DRIVER,
    NO_PERMISSION,
    NOT_SUPPORTED,
    TIMEOUT,
    UNKNOWN,
    FakeNvml,
    mig_node,
    node,
    unified_node,
    uuid_of,
)
from tests.fake_nvml.worker import Start, Worker

pytestmark = pytest.mark.usefixtures("nvml_library")


def by_uuid(answer: Any) -> dict[str, Any]:
    return {device["uuid"]: device for device in answer["devices"]}


def health(answer: Any) -> list[tuple[str, str]]:
    return [(d["health"], d["reason"]) for d in answer["devices"]]


def test_a_node_of_pairs(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine = node(8)
    found = by_uuid(start().ask("look"))
    assert list(found) == [uuid_of(n) for n in range(8)]
    third = found[uuid_of(2)]
    assert third["topology"].pop("near") == [
        [uuid_of(n), level]
        for n, level in [
            (0, "node"), (1, "node"), (3, "single"), (4, "system"), (5, "system"), (6, "system"),
            (7, "system"),
        ]
    ]  # fmt: skip
    assert third == {
        "uuid": uuid_of(2),
        "host": "h",
        "kind": "gpu",
        "model": "NVIDIA H100 80GB HBM3",
        "memory_mib": 81559,
        "mig_profile": None,
        "pool": "default",
        "health": "healthy",
        "reason": "",
        "parent_uuid": None,
        "topology": {"bus": "00000000:12:00.0", "nvlink": [uuid_of(3)]},
        "compute_mode": "default",
        "reserved_mib": 550,
        "node": None,
    }


def test_cards_on_one_switch_are_neighbours(fake_nvml: FakeNvml, start: Start) -> None:
    for card in fake_nvml.machine.cards:
        card.links = ["00000000:C1:00.0"]
    fake_nvml.machine.cards.append(node(3).cards[2])
    found = by_uuid(start().ask("look"))
    assert [d["topology"]["nvlink"] for d in found.values()] == [[uuid_of(1)], [uuid_of(0)], []]


def test_of_a_partitioned_card_only_the_instances_are_devices(
    fake_nvml: FakeNvml, start: Start
) -> None:
    fake_nvml.machine = mig_node()
    fake_nvml.machine.cards[1].instances[1].name = "NVIDIA H100 80GB HBM3"  # an old driver's
    fake_nvml.machine.cards[1].ecc = 1
    found = by_uuid(start().ask("look"))
    facts = ("kind", "mig_profile", "memory_mib", "parent_uuid", "health")
    assert {uuid: [device[f] for f in facts] for uuid, device in found.items()} == {
        uuid_of(0): ["gpu", None, 81559, None, "healthy"],
        uuid_of(10, "MIG"): ["mig", "3g.40gb", 40448, uuid_of(1), "unhealthy"],
        uuid_of(11, "MIG"): ["mig", "1g.10gb", 9984, uuid_of(1), "unhealthy"],
        uuid_of(12, "MIG"): ["mig", "1g.10gb", 9984, uuid_of(1), "unhealthy"],
    }


def test_a_card_that_shares_the_processors_memory_tells_none(
    fake_nvml: FakeNvml, start: Start
) -> None:
    fake_nvml.machine = unified_node()
    (device,) = start().ask("look")["devices"]
    assert (device["memory_mib"], device["model"]) == (None, "NVIDIA GB10")
    assert device["health"] == "healthy"


def test_health_follows_the_card(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    card = fake_nvml.machine.cards[0]
    assert health(worker.ask("look"))[0] == ("healthy", "")
    for name, ill, said in [
        ("ecc", 2, "2 uncorrectable ECC errors"),
        ("remapped", (1, 0), "are to be remapped"),
        ("remapped", (1, 1), "could not be remapped"),
        ("compute_mode", 2, "prohibited"),
    ]:
        sound = getattr(card, name)
        with fake_nvml.change():
            setattr(card, name, ill)
        state, reason = health(worker.ask("look"))[0]
        assert (state, said in reason) == ("unhealthy", True), reason
        with fake_nvml.change():
            setattr(card, name, sound)
        assert health(worker.ask("look"))[0] == ("healthy", "")


@pytest.mark.parametrize("handle", [True, False], ids=["no handle", "no facts"])
@pytest.mark.parametrize("code", [LOST, UNKNOWN])
def test_a_lost_card_is_unhealthy_and_the_others_are_not(
    fake_nvml: FakeNvml, start: Start, code: int, handle: bool
) -> None:
    worker = start()
    worker.ask("devices")
    with fake_nvml.change() as machine:
        machine.fail("*" if handle else "nvmlDeviceGetTotalEccErrors", code, uuid_of(1))
    after = worker.ask("devices")
    assert [d["health"] for d in after["devices"]] == ["healthy", "unhealthy"]
    assert after["missing"] == "unhealthy"
    assert after["devices"][1]["memory_mib"] == 81559  # what was known of it stays
    fresh = start().ask("devices")  # who never saw it has no name for it
    assert [d["uuid"] for d in fresh["devices"]] == [uuid_of(0)]
    assert fresh["missing"] == "unhealthy"
    with fake_nvml.change() as machine:
        machine.errors.clear()
    assert health(worker.ask("devices")) == [("healthy", ""), ("healthy", "")]


def test_all_cards_may_be_lost(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine.fail("*", LOST, uuid_of(0))
    fake_nvml.machine.fail("*", LOST, uuid_of(1))
    answer = start().ask("look")
    assert (answer["devices"], answer["missing"]) == ([], "unhealthy")


def test_a_card_of_another_container_is_none(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine.fail("nvmlDeviceGetHandleByIndex_v2", NO_PERMISSION, uuid_of(0))
    answer = start().ask("look")
    assert [d["uuid"] for d in answer["devices"]] == [uuid_of(1)]
    assert "missing" not in answer  # the view is whole


def test_what_is_the_matter_with_a_whole_host(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    for code, trouble in [
        (NO_DRIVER, "no_driver"),
        (MISMATCH, "mismatch"),
        (NO_PERMISSION, "no_permission"),
        (TIMEOUT, "no_answer"),
        (UNKNOWN, "no_answer"),
    ]:
        with fake_nvml.change() as machine:
            machine.fail("nvmlInitWithFlags", code)
        assert worker.ask("look")["trouble"] == trouble
        with fake_nvml.change() as machine:
            machine.errors.clear()
        assert len(worker.ask("look")["devices"]) == 2
        with fake_nvml.change() as machine:
            machine.fail("*", UNKNOWN)  # after which it is initialised anew
        assert worker.ask("look")["trouble"] == "no_answer"
        fake_nvml.machine.errors.clear()


def test_without_the_library_there_is_nothing_to_ask(tmp_path: Any) -> None:
    worker = Worker({"LD_LIBRARY_PATH": str(tmp_path)})
    answer = worker.ask("look")
    if answer.get("trouble") != "no_library":
        pytest.skip("needs a machine without NVIDIA's driver")
    assert worker.ask("devices") == {"devices": None}
    assert worker.ask("faults") == []
    assert worker.ask("loaded") is False
    assert worker.ask("occupants", uuid_of(0))["is_certain"] is False
    assert worker.close() == 0


def test_trouble_of_a_moment_drops_no_device(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start(static="cpu:0")
    before = worker.ask("devices")
    with fake_nvml.change() as machine:
        machine.fail("*", UNKNOWN)
    assert worker.ask("devices") == before
    late = start(static="cpu:0").ask("devices")
    assert [d["uuid"] for d in late["devices"]] == ["cpu:0"]
    assert late["missing"] is None
    with fake_nvml.change() as machine:
        machine.errors[:] = [("nvmlInitWithFlags", NO_DRIVER, ""), ("*", 1, "")]
    assert [d["uuid"] for d in worker.ask("devices")["devices"]] == ["cpu:0"]


def test_a_fact_that_is_not_told_is_not_known(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    for function in (
        "nvmlDeviceGetComputeMode", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetMigMode", "nvmlDeviceGetNvLinkState", "nvmlDeviceGetPciInfo_v3",
        "nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetName",
    ):  # fmt: skip
        for code in (MISSING, NOT_SUPPORTED, NO_PERMISSION):
            with fake_nvml.change() as machine:
                machine.errors[:] = [(function, code, "")]
            answer = worker.ask("look")
            assert health(answer) == [("healthy", "")] * 2, (function, code)
            assert [d["memory_mib"] for d in answer["devices"]] == [81559] * 2
