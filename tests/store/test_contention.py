"""Several processes at once on one store: nothing is held twice, lost, or half done.

What happened is judged by what the processes say of themselves.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import (
    LeaseLostError,
    PromotionConflictError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, row_of
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.promotion import Claim, Promotions
from airflow_ai_provider.store.schema import gpu_change, gpu_request, lease, lease_device
from airflow_ai_provider.testing import fake_devices
from tests.store.test_server import end_backends

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        migrate(Store(found))
        return found
    found = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    Store.open(found).close()
    return found


def together(work: Callable[[int, Any], None], count: int, seconds: float = 60) -> None:
    """Run ``work(number, barrier)`` in ``count`` processes; all must end well."""
    barrier = FORK.Barrier(count)
    processes = [FORK.Process(target=work, args=(number, barrier)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * count


class Holder:
    """One who asks as a process of its own, on a host of its own if need be."""

    def __init__(self, url: str, *, host: str = "testhost", devices: int | None = 2) -> None:
        self.here = Host(name=host, boot_id=f"boot-of-{host}")
        self.gpu = GpuStore(Store.open(url), self.here)
        self.devices = None if devices is None else fake_devices(devices, host=host)
        self.me = Process(pid=os.getpid(), start=1, uid=0)

    def ticket(self, holder: str, task: TaskIdentity | None = None, **wants: Any) -> Ticket:
        return Ticket(
            holder=holder,
            request=GpuRequest.of(**wants),
            host=self.here.name,
            task=task or TaskIdentity(),
        )

    def ask(self, holder: str, task: TaskIdentity | None = None, **wants: Any) -> Asked:
        ticket = self.ticket(holder, task, **wants)
        return self.gpu.ask(ticket, process=self.me, devices=self.devices)

    def acquire(self, holder: str, **wants: Any) -> Any:
        end = time.monotonic() + 40
        ticket = self.ticket(holder, **wants)
        asked = self.ask(holder, **wants)
        while asked.lease is None or asked.lease.state is not LeaseState.ACTIVE:
            assert time.monotonic() < end, f"{holder} waited too long: {asked}"
            view = self.gpu.view(ticket.id)
            if view is None or view.may_be_claimed:
                asked = self.ask(holder, **wants)
            else:
                time.sleep(0.005)
        return asked.lease


def test_devices_go_from_process_to_process_one_at_a_time(url: str, tmp_path: Path) -> None:
    def work(number: int, barrier: Any) -> None:
        holder, chance = Holder(url), random.Random(number)
        log = (tmp_path / f"log{number}").open("w")
        barrier.wait()
        for turn in range(15):
            held = holder.acquire(f"{number}:{turn}", gpus=chance.choice([1, 1, 2]))
            start = time.monotonic()
            time.sleep(chance.random() * 0.01)
            line = [held.devices, held.fence, start, time.monotonic()]
            holder.gpu.release(held.id, held.fence)
            log.write(json.dumps(line) + "\n")
        log.close()

    together(work, 5)
    uses: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for path in tmp_path.glob("log*"):
        for line in path.read_text().splitlines():
            devices, fence, start, end = json.loads(line)
            for name in devices:
                uses[name].append((start, end, fence))
    assert sum(len(found) for found in uses.values()) >= 75
    for found in uses.values():
        found.sort()
        assert all(one[1] <= two[0] for one, two in pairwise(found))
        assert all(one[2] < two[2] for one, two in pairwise(found))
    assert_nothing_is_left(url)


def assert_nothing_is_left(url: str) -> None:
    store = Store.open(url)
    with store.read() as connection:
        live = sa.select(sa.func.count()).select_from(lease_device).where(lease_device.c.live)
        waits = sa.select(sa.func.count()).where(gpu_request.c.state.in_(["pending", "leased"]))
        held = sa.select(sa.func.count()).where(lease.c.state != "released")
        assert [connection.execute(s).scalar_one() for s in (live, waits, held)] == [0, 0, 0]
    store.close()


def test_one_ticket_presented_by_many_at_once_is_one_lease(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        holder = Holder(url)
        barrier.wait()
        for _ in range(5):
            asked = holder.ask("the same")
            assert asked.lease is not None

    together(work, 6)
    assert len(GpuStore(Store.open(url), Host(name="x", boot_id="x")).leases()) == 1


def test_hosts_that_come_at_once_each_get_their_own_devices(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        holder = Holder(url, host=f"host{number}")
        barrier.wait()
        asked = holder.ask(f"first of {number}", gpus=2)
        assert asked.lease is not None
        assert asked.lease.host == f"host{number}"

    together(work, 6)


def test_of_the_tries_of_a_task_the_newest_stays(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        holder = Holder(url)
        task = TaskIdentity(
            ti_id=f"ti{number}", dag_id="d", run_id="r", task_id="t", map_index=-1,
            try_number=number + 1,
        )  # fmt: skip
        barrier.wait()
        try:
            holder.ask(f"try {number}", task, gpus=2)
        except LeaseLostError:
            assert number < 4

    together(work, 5)
    store = Store.open(url)
    with store.read() as connection:
        rows = connection.execute(
            sa.select(lease.c.try_number, lease.c.revoked).where(lease.c.state != "released")
        ).all()
        waits = connection.execute(
            sa.select(gpu_request.c.try_number).where(gpu_request.c.state == "pending")
        ).scalars().all()  # fmt: skip
    assert all(row.revoked for row in rows if row.try_number != 5)
    assert set(waits) <= {5}
    assert 5 in {*waits, *(row.try_number for row in rows)}
    store.close()


def test_a_task_that_resumes_on_another_host_keeps_its_place(url: str) -> None:
    one, two = Holder(url, host="one", devices=1), Holder(url, host="two", devices=1)
    held = [one.acquire("other 1"), two.acquire("other 2")]
    assert one.ask("resumes").lease is None
    assert two.ask("younger").lease is None
    assert two.ask("resumes").lease is None  # its worker is another host's now
    two.gpu.release(held[1].id, held[1].fence)
    asked = two.ask("resumes")
    assert asked.lease is not None
    assert asked.lease.host == "two"
    view = two.gpu.view(two.ticket("younger").id)
    assert view is not None
    assert not view.may_be_claimed


@pytest.fixture
def server(postgres_url: str) -> str:
    migrate(Store(postgres_url))
    return postgres_url


class PlannerLock:
    """Somebody who plans and takes long."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)

    def __enter__(self) -> PlannerLock:
        self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x61695F67,))
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def test_nobody_waits_for_the_one_who_plans(server: str) -> None:
    holder = Holder(server, devices=1)
    held = holder.acquire("a")
    with PlannerLock(server):
        started = time.monotonic()
        asked = holder.ask("b")
        assert (asked.lease, asked.left) == (None, True)
        holder.gpu.release(held.id, held.fence)
        holder.gpu.tick()
        assert time.monotonic() - started < 2
        view = holder.gpu.view(holder.ticket("b").id)
        assert view is not None
        assert not view.may_be_claimed
    assert holder.ask("c").lease is None  # the next who comes plans for all
    view = holder.gpu.view(holder.ticket("b").id)
    assert view is not None
    assert view.may_be_claimed
    with holder.gpu.store.read() as connection:
        assert connection.execute(sa.select(gpu_change)).all() == []


def test_backends_that_are_ended_all_the_time_lose_and_double_nothing(
    server: str, tmp_path: Path
) -> None:
    def work(number: int, barrier: Any) -> None:
        barrier.wait()
        holder = unless_away(lambda: Holder(server))
        log = (tmp_path / f"log{number}").open("w")
        for turn in range(12):
            name = f"{number}:{turn}"
            held = unless_away(lambda name=name: holder.acquire(name))
            start = time.monotonic()
            time.sleep(0.005)
            log.write(json.dumps([held.devices, held.fence, start, time.monotonic()]) + "\n")
            log.flush()
            with suppress(LeaseLostError):  # it was released, and only the answer was lost
                unless_away(lambda held=held: holder.gpu.release(held.id, held.fence))
        log.close()

    over = threading.Event()

    def end_them() -> None:
        while not over.wait(0.15):
            end_backends(server)

    killer = threading.Thread(target=end_them)
    killer.start()
    try:
        together(work, 4, 90)
    finally:
        over.set()
        killer.join()
    uses: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for path in tmp_path.glob("log*"):
        for line in path.read_text().splitlines():
            devices, fence, start, end = json.loads(line)
            for name in devices:
                uses[name].append((start, end, fence))
    assert sum(len(found) for found in uses.values()) == 48
    for found in uses.values():
        found.sort()
        assert all(one[1] <= two[0] and one[2] < two[2] for one, two in pairwise(found))
    assert_nothing_is_left(server)


def unless_away(action: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(StoreUnavailableError):
            return action()
        time.sleep(0.01)
    raise AssertionError("the store stayed away")


def test_writers_of_the_ledger_make_one_chain(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        ledger = Ledger(Store.open(url))
        barrier.wait()
        for turn in range(10):
            draft = GateDraft(kind=GateKind.DATA, subject=f"{number}", verdict=Verdict.PASS)
            ledger.append(draft, key=f"shared {turn}" if turn % 2 else None)

    together(work, 5)
    assert Ledger(Store.open(url)).verify() == (5 * 5 + 5, None)


def test_one_of_many_promoters_moves_a_model(url: str, tmp_path: Path) -> None:
    def work(number: int, barrier: Any) -> None:
        promotions = Promotions(Store.open(url))
        claim = Claim(model_name="m", key=f"k{number}", by=f"p{number}", move={"version": "1"})
        draft = GateDraft(kind=GateKind.PROMOTION, subject="m", verdict=Verdict.PASS)
        barrier.wait()
        moved = False
        while not moved:
            with suppress(PromotionConflictError):
                promotions.claim(claim)
                moved = True
        with (tmp_path / "moving").open("x"):  # fails when another moves just now
            time.sleep(0.005)
        (tmp_path / "moving").unlink()
        promotions.complete(claim, draft)

    together(work, 5)
    assert Ledger(Store.open(url)).verify() == (5, None)


def test_a_project_that_many_see_first_is_one(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        projects = Projects(Store.open(url))
        barrier.wait()
        for turn in range(5):
            projects.note(
                name="p",
                title=None,
                owner=f"o{number}",
                path="x",
                digest=str(turn),
                plan={},
                text=f"turn: {turn}",
            )

    together(work, 5)
    (found,) = Projects(Store.open(url)).all()
    assert (found.digest, found.phase) == ("4", "discovery")
    versions = Projects(Store.open(url)).versions("p")
    assert sorted(version.text for version in versions) == [f"turn: {n}" for n in range(5)]


def test_feedback_that_many_bring_at_once_is_stored_once(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        feedback = FeedbackStore(Store.open(url))
        chance = random.Random(number)
        barrier.wait()
        for _ in range(4):
            rows = [row_of(feedback_record(n)) for n in range(50)]
            chance.shuffle(rows)  # in whatever order: nobody waits crosswise
            found = feedback.write_batch([rows], [], sources=["x"])
            assert found.stored + found.duplicates == 50

    together(work, 4)
    totals = FeedbackStore(Store.open(url)).totals()
    assert (totals["stored"], totals["revised"], totals["read"]) == (50, 0, 4 * 4 * 50)
    assert totals["duplicates"] == 4 * 4 * 50 - 50


def test_a_batch_whose_connection_dies_is_not_there_and_may_be_brought_again(server: str) -> None:
    feedback = FeedbackStore(Store.open(server))

    def pieces() -> Iterator[list[Any]]:
        yield [row_of(feedback_record(n)) for n in range(10)]
        end_backends(server)
        yield [row_of(feedback_record(n)) for n in range(10, 20)]

    with pytest.raises(StoreUnavailableError):
        feedback.write_batch(pieces(), [], sources=["x"])
    assert feedback.totals()["batches"] == 0
    rows = [row_of(feedback_record(n)) for n in range(20)]
    assert feedback.write_batch([rows], [], sources=["x"]).stored == 20


def feedback_record(number: int) -> FeedbackRecord:
    return FeedbackRecord(
        feedback_id=f"f{number}",
        model_name="m",
        observed_at=datetime(2013, 4, 1, tzinfo=timezone.utc),
        label=1,
    )
