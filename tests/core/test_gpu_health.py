from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import SettingsError
from airflow_ai_provider.core.gpu.devices import (
    Device,
    Health,
    PartialView,
    cuda_visible,
    is_driver_uuid,
    parse_static_devices,
)
from airflow_ai_provider.core.gpu.driver import Trouble
from airflow_ai_provider.core.gpu.health import APPLICATION_XIDS, Symptoms, judge, xid_reason
from airflow_ai_provider.core.gpu.mig import profile_in, profile_of
from airflow_ai_provider.core.gpu.request import GpuRequest


def test_a_card_that_says_nothing_against_itself_is_healthy() -> None:
    assert judge(Symptoms()) == (Health.HEALTHY, "")
    sound = Symptoms(uncorrected_errors=0, remapping_pending=False, remapping_failed=False)
    assert judge(sound) == (Health.HEALTHY, "")


@pytest.mark.parametrize(
    ("symptoms", "said"),
    [
        (Symptoms(uncorrected_errors=1), "1 uncorrectable ECC error;"),
        (Symptoms(uncorrected_errors=3, remapping_failed=True), "3 uncorrectable ECC errors;"),
        (Symptoms(remapping_pending=True, remapping_failed=True), "could not be remapped"),
        (Symptoms(remapping_pending=True), "are to be remapped"),
        (Symptoms(compute_mode="prohibited"), "prohibited"),
    ],
)
def test_each_symptom_has_its_reason(symptoms: Symptoms, said: str) -> None:
    health, reason = judge(symptoms)
    assert health is Health.UNHEALTHY
    assert said in reason


@given(st.integers(0, 1000))
def test_only_what_programs_cause_does_not_count(code: int) -> None:
    reason = xid_reason(code)
    assert (reason is None) == (code in APPLICATION_XIDS)
    assert reason is None or reason.startswith(f"Xid {code}")


def test_what_is_known_of_an_xid_is_said() -> None:
    assert xid_reason(79) == "Xid 79: the card has fallen off the bus"
    assert xid_reason(7) == "Xid 7"


def test_each_trouble_says_what_to_do() -> None:
    assert all(t.sentence.endswith(".") and t.remedy.endswith(".") for t in Trouble)
    assert {t for t in Trouble if t.means_none} == {Trouble.NO_LIBRARY, Trouble.NO_DRIVER}


# what nvidia-smi shows of real cards: slices, an instance's MiB, the card's MiB, the profile
REAL = [
    (1, 9984, 81559, "1g.10gb"),
    (1, 20096, 81559, "1g.20gb"),
    (2, 20096, 81559, "2g.20gb"),
    (3, 40448, 81559, "3g.40gb"),
    (7, 80896, 81559, "7g.80gb"),
    (1, 4864, 40536, "1g.5gb"),
    (2, 9984, 40536, "2g.10gb"),
    (4, 20096, 40536, "4g.20gb"),
    (7, 40320, 40536, "7g.40gb"),
]


@pytest.mark.parametrize(("slices", "memory", "card", "profile"), REAL)
def test_a_profile_follows_from_sizes(slices: int, memory: int, card: int, profile: str) -> None:
    found = profile_of(
        gpu_slices=slices, compute_slices=slices, memory_mib=memory, card_memory_mib=card
    )
    assert found == profile
    assert GpuRequest.of(mig_profile=found).mig_profile == profile


def test_a_part_of_an_instances_processors_shows() -> None:
    size = {"gpu_slices": 3, "memory_mib": 40448, "card_memory_mib": 81559}
    assert profile_of(compute_slices=1, **size) == "1c.3g.40gb"


@given(
    part=st.sampled_from(["", "1c.", "2c."]),
    slices=st.integers(1, 7),
    memory=st.integers(1, 200),
    more=st.sampled_from(["", "+me", "+gfx", "+me.all"]),
    before=st.text("AMIG0123456789 -", max_size=30),
)
def test_a_profile_is_read_out_of_a_name(
    part: str, slices: int, memory: int, more: str, before: str
) -> None:
    profile = f"{part}{slices}g.{memory}gb{more}"
    assert profile_in(f"{before} MIG {profile}") == profile
    assert profile_in(f"{before} MIG {profile.upper()} ") == profile


@given(st.text("NVIDIA H100gGbB.80+", max_size=30))
def test_a_name_without_mig_has_no_profile(name: str) -> None:
    assert profile_in(name.replace("MIG", "")) is None


names = st.from_regex(r"[a-z][a-z0-9]{0,8}:[0-9]{1,2}", fullmatch=True)


@given(st.dictionaries(names, st.none() | st.integers(1, 10**6), max_size=6))
def test_a_declaration_is_read_back(declared: dict[str, int | None]) -> None:
    text = ", ".join(name if mib is None else f"{name}@{mib}MiB" for name, mib in declared.items())
    found = parse_static_devices(text, host="h")
    assert {d.uuid: d.memory_mib for d in found} == declared
    assert all(d.model == d.uuid.rpartition(":")[0] for d in found)


@given(st.text(max_size=40))
def test_a_declaration_is_read_or_refused(text: str) -> None:
    try:
        found = parse_static_devices(text, host="h")
    except SettingsError:
        return
    assert len({d.uuid for d in found}) == len(found)


@pytest.mark.parametrize(
    "uuid",
    [
        "GPU-5fa5a1b6-0000-4000-8000-000000000001",
        "MIG-5fa5a1b6-0000-4000-8000-000000000001",
        "MIG-GPU-5fa5a1b6-0000-4000-8000-000000000001/7/0",  # drivers before 470
    ],
)
def test_what_the_driver_names_is_what_cuda_is_told(uuid: str) -> None:
    assert is_driver_uuid(uuid)
    assert cuda_visible((uuid, "cpu:0")) == uuid


def test_a_partial_view_is_the_devices_and_what_it_does_not_say() -> None:
    view = PartialView([Device(uuid="a", host="h")], missing=None, why="no answer")
    assert [d.uuid for d in view] == ["a"]
    assert (view.missing, view.why) == (None, "no answer")
