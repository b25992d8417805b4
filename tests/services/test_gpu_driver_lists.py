"""Before a device is handed on, its driver's list is looked at: with a fake driver, for real."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE
from airflow_ai_provider.store.ledger import Ledger
from tests.fake_nvml import FakeNvml, node
from tests.services.test_gpu_left_behind import Holder, wait_until
from tests.services.test_gpu_processes import Stage, gone, wait_for_keeper


@pytest.fixture
def stage(tmp_path: Path, fake_nvml: FakeNvml) -> Iterator[Stage]:
    fake_nvml.machine = node(1)
    fake_nvml.write()
    staged = Stage(tmp_path, devices="", **fake_nvml.env)
    yield staged
    staged.close()


def state(stage: Stage) -> list[str]:
    return [lease.state.value for lease in stage.live()]


def test_a_stranger_on_the_card_sets_it_aside_until_the_stranger_is_gone(
    stage: Stage, fake_nvml: FakeNvml
) -> None:
    stranger = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(90)"])
    stage.started.append(stranger)
    holder = Holder(stage, "bash")
    child = holder.said()["child"]
    wait_for_keeper(stage)
    with fake_nvml.change() as machine:
        machine.cards[0].processes = [("compute", stranger.pid), ("compute", child)]
    holder.kill()
    wait_until(lambda: gone(child))
    with fake_nvml.change() as machine:
        machine.cards[0].processes = [("compute", stranger.pid)]
    wait_until(lambda: state(stage) == ["quarantined"])
    (lease,) = stage.live()
    assert f"{stranger.pid} (" in lease.reason
    assert "time.sleep(90)" in lease.reason
    wait_until(lambda: bool(Ledger(stage.store).search(kind=GateKind.DEVICE)))
    waiter = Holder(stage, "alone")
    time.sleep(3)
    assert stranger.poll() is None
    assert state(stage) == ["quarantined"]
    with fake_nvml.change() as machine:
        machine.cards[0].processes = []
    assert waiter.said()["fence"] == 2
    assert stranger.poll() is None


def test_what_outlived_a_released_lease_of_the_card_is_ended(
    stage: Stage, fake_nvml: FakeNvml
) -> None:
    first = Holder(stage, "alone")
    said = first.said()
    first.let_go()
    left = subprocess.Popen(  # nobody saw it start: only its mark tells whose it is
        [sys.executable, "-S", "-c", "import time; time.sleep(90)"],
        env={LEASE_VARIABLE: f"{said['lease']}:{said['fence']}"},
    )
    stage.started.append(left)
    second = Holder(stage, "alone")
    assert second.said()["fence"] == 2
    with fake_nvml.change() as machine:
        machine.cards[0].processes = [("compute", left.pid)]
    second.kill()
    assert left.wait(timeout=30) == -signal.SIGTERM
    assert state(stage) != []  # the driver lists it still
    with fake_nvml.change() as machine:
        machine.cards[0].processes = []
    stage.wait_until_none_live(15)
    assert first.process.poll() is None
    (record,) = Ledger(stage.store).search(kind=GateKind.DEVICE)
    assert (record.verdict, record.criteria[0]["name"]) == ("warn", "outlived")


def test_a_card_is_handed_on_when_the_context_of_who_released_it_is_closed(
    stage: Stage, fake_nvml: FakeNvml
) -> None:
    holder = Holder(stage, "alone")
    holder.said()
    with fake_nvml.change() as machine:
        machine.cards[0].processes = [("compute", holder.process.pid)]
    holder.let_go()
    waiter = Holder(stage, "alone")
    time.sleep(3)
    assert holder.process.poll() is None
    assert state(stage) == ["suspect"]
    with fake_nvml.change() as machine:
        machine.cards[0].processes = []
    assert waiter.said()["fence"] == 2
    assert holder.process.poll() is None


def test_a_card_that_is_lost_while_it_is_held_is_shown_by_the_keeper(
    stage: Stage, fake_nvml: FakeNvml
) -> None:
    holder = Holder(stage, "alone")
    holder.said()
    with fake_nvml.change() as machine:
        machine.cards[0].ecc = 3

    def is_unhealthy() -> bool:
        (device,) = stage.status()["devices"]
        return bool(device["health"] == "unhealthy")

    wait_until(is_unhealthy, timeout=30)
    assert holder.process.poll() is None
