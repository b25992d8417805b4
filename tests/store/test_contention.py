"""Several processes at once ask for devices: nothing is held twice, lost, or half done.

What happened is judged by what the processes say of themselves.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.lease import Host, TaskIdentity
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.schema import gpu_change, gpu_request, lease
from tests.store.processes import Holder, assert_nothing_is_left, together, unless_away
from tests.store.test_server import end_backends


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
    assert len(uses_one_at_a_time(tmp_path)) >= 75
    assert_nothing_is_left(url)


def uses_one_at_a_time(folder: Path) -> list[tuple[float, float, int]]:
    """Return all uses of devices, as (start, end, fence), that processes noted in ``folder``."""
    uses: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for path in folder.glob("log*"):
        for line in path.read_text().splitlines():
            devices, fence, start, end = json.loads(line)
            for name in devices:
                uses[name].append((start, end, fence))
    for found in uses.values():
        found.sort()
        assert all(one[1] <= two[0] and one[2] < two[2] for one, two in pairwise(found))
    return [use for found in uses.values() for use in found]


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
    assert len(uses_one_at_a_time(tmp_path)) == 48
    assert_nothing_is_left(server)
