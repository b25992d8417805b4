from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import (
    GpuRequestError,
    GpuWaitTimeoutError,
    LeaseLostError,
    SettingsError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool, held
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.testing import memory_store


class FakeKeeper:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self, lease_id: str, *, fence: int, pid: int, start: int, uid: int) -> None:
        assert pid == os.getpid()
        self.told.append("hold")

    def drop(self, lease_id: str) -> None:
        self.told.append("drop")

    def left(
        self, lease_id: str, fence: int, processes: set[Process], *, holder: Process | None = None
    ) -> None:
        self.told.append(f"left {len(processes)}")

    def look(self) -> None:
        self.told.append("look")


@pytest.fixture
def keeper() -> FakeKeeper:
    return FakeKeeper()


@pytest.fixture
def pool(keeper: FakeKeeper) -> GpuPool:
    return GpuPool(memory_store(), GpuSettings(static_devices="cpu:0,cpu:1"), keeper=keeper)


def test_the_environment_is_the_leases_own_while_it_is_held(pool: GpuPool) -> None:
    before = dict(os.environ)
    lease = pool.acquire(pool.ticket(GpuRequest.of(gpus=2), holder="a"))
    with held(pool, lease):
        assert os.environ[LEASE_VARIABLE] == f"{lease.id}:{lease.fence}"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        assert lease.devices == ("cpu:0", "cpu:1")
    assert dict(os.environ) == before


def test_the_keeper_is_told(pool: GpuPool, keeper: FakeKeeper) -> None:
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
        assert keeper.told == ["hold"]
    assert keeper.told == ["hold", "drop"]


def test_the_same_holder_shares_one_lease(pool: GpuPool) -> None:
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    with held(pool, pool.acquire(ticket)) as outer:
        with held(pool, pool.acquire(ticket)) as inner:
            assert inner.id == outer.id
        assert len(pool.gpu.leases()) == 1
    assert pool.gpu.leases() == []


def test_another_process_cannot_take_a_holders_lease(tmp_path: Path, keeper: FakeKeeper) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'airflow_ai.db'}")
    pool = GpuPool(store, GpuSettings(static_devices="cpu:0"), keeper=keeper)
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    pool.acquire(ticket)
    answer = tmp_path / "answer"
    if (child := os.fork()) == 0:
        try:
            pool.try_acquire(ticket)
        except GpuRequestError as error:
            answer.write_text(str(error))
        os._exit(0)
    os.waitpid(child, 0)
    assert f"in process {os.getpid()}" in answer.read_text()
    store.close()


def test_a_wait_ends_with_its_reason_and_leaves_the_queue(pool: GpuPool) -> None:
    pool.acquire(pool.ticket(GpuRequest.of(gpus=2), holder="a"))
    with pytest.raises(GpuWaitTimeoutError) as caught:
        pool.acquire(pool.ticket(GpuRequest.of(max_wait=0.1), holder="b"))
    assert caught.value.facts["reason"] == "devices_busy"
    assert pool.status()["queue"] == []


def test_a_lost_lease_is_said_at_the_end(pool: GpuPool) -> None:
    lease = pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))
    with pytest.raises(LeaseLostError), held(pool, lease):
        pool.gpu.release(lease.id, lease.fence)


def test_the_blocks_own_error_is_not_hidden_by_a_lost_lease(pool: GpuPool) -> None:
    lease = pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))
    pool.gpu.release(lease.id, lease.fence)
    with pytest.raises(ZeroDivisionError), held(pool, lease):
        _ = 1 / 0


def test_what_still_runs_is_left_to_the_keeper(pool: GpuPool, keeper: FakeKeeper) -> None:
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        assert keeper.told == ["hold", "left 1", "drop"]
        assert [record.state.value for record in pool.gpu.leases()] == ["suspect"]
    finally:
        child.kill()
        child.wait()


class UnsureStore(GpuStore):
    """Says of the next ``unsure`` releases that the store did not answer; ``written`` or not."""

    unsure = 0
    written = False

    def release(self, lease_id: str, fence: int, *, reason: str = "released") -> None:
        if not self.unsure or self.written:
            super().release(lease_id, fence, reason=reason)
        if self.unsure:
            self.unsure -= 1
            raise StoreUnavailableError("The connection broke.")


@pytest.mark.parametrize("written", [False, True])
def test_a_release_whose_answer_was_lost_is_asked_for_again(pool: GpuPool, written: bool) -> None:
    pool.gpu = UnsureStore(pool.gpu.store, pool.here)
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
        pool.gpu.unsure, pool.gpu.written = 1, written
    assert pool.gpu.leases() == []


def test_a_release_that_the_store_does_not_answer_is_left_to_the_keeper(
    pool: GpuPool, keeper: FakeKeeper
) -> None:
    pool.gpu = UnsureStore(pool.gpu.store, pool.here)
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
        pool.gpu.unsure = 9
    assert keeper.told == ["hold", "left 0", "drop"]


def test_a_child_from_before_the_lease_is_nobodys_business(
    pool: GpuPool, keeper: FakeKeeper
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        subprocess.run(["sleep", "0.05"], check=True)  # a clock tick of difference
        with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
            pass
        assert keeper.told == ["hold", "drop"]
    finally:
        child.kill()
        child.wait()


def test_with_no_device_declared_a_request_is_refused() -> None:
    pool = GpuPool(memory_store(), GpuSettings())
    with pytest.raises(GpuRequestError, match="No device is known"):
        pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))


def test_settings_are_read_and_refused_by_name() -> None:
    settings = GpuSettings.of({"lease_ttl": "12", "static_devices": " cpu:0 ", "device_host": "h"})
    assert (settings.lease_ttl, settings.host_name) == (12, "h")
    assert settings.static_devices == "cpu:0"
    for wrong in ("soon", "0", "inf", "-1", "nan"):
        with pytest.raises(SettingsError, match="lease_ttl"):
            GpuSettings.of({"lease_ttl": wrong})


class MuteStore(GpuStore):
    """Does what it is asked and says, of the next ``mute`` asks, that it did not answer."""

    mute = 0

    def ask(self, ticket: Ticket, **arguments: Any) -> Asked:
        asked = super().ask(ticket, **arguments)
        if self.mute:
            self.mute -= 1
            raise StoreUnavailableError("The connection broke.")
        return asked


def test_a_lease_whose_grant_was_not_heard_of_is_asked_for_again(pool: GpuPool) -> None:
    pool.gpu = MuteStore(pool.gpu.store, pool.here)
    pool.gpu.mute = 1
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(), holder="a"))):
        assert len(pool.gpu.leases()) == 1
    assert pool.gpu.leases() == []


def test_one_who_gives_up_gives_back_what_it_did_not_hear_of(pool: GpuPool) -> None:
    pool.gpu = MuteStore(pool.gpu.store, pool.here)
    pool.gpu.mute = 9
    with pytest.raises(StoreUnavailableError):
        pool.acquire(pool.ticket(GpuRequest.of(max_wait=0.1), holder="a"))
    assert pool.gpu.leases() == []
