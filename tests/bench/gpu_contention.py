"""Eight devices, a thousand tickets that wait, 0.2 s a hold: how long devices stand idle.

A few processes hold the tickets, as triggerers do, and hear of grants through one watch each. A
ticket that was served is replaced, so that a thousand wait all the time. A device's gap is from the
moment its holder begins to release to the moment the next holder has its lease.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from airflow_ai_provider.core.gpu.lease import Ticket, TicketView
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool, Lease
from airflow_ai_provider.services.gpu_waiting import watch_of
from airflow_ai_provider.services.store import open_store
from tests.bench.gpu_stores import KINDS, Bench, bench, program
from tests.bench.report import figure, percentile, say

DEVICES, WAITERS, PROCESSES, HOLD, SECONDS = 8, 1000, 4, 0.2, 30.0
GOALS = {"SQLite": (0.1, 0.5), "PostgreSQL": (0.02, 0.25)}  # seconds, p50 and p99 of a gap


def measure() -> Iterator[dict[str, Any]]:
    """Run the crowd on each kind of store."""
    for kind in KINDS:
        with bench(kind, devices=DEVICES) as place:
            yield from crowd(place)


def crowd(place: Bench) -> Iterator[dict[str, Any]]:
    """Let the crowd take turns for a while and judge what its processes noted."""
    each = WAITERS // PROCESSES
    workers = [
        subprocess.Popen(
            program("tests.bench.gpu_contention", number, each),
            env=place.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    time.sleep(1)  # so that they are older than the lease, and not what it started
    pool = GpuPool(open_store())
    everything = pool.acquire(pool.ticket(GpuRequest.of(gpus=DEVICES), holder="first"))
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("enter\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    say(f"{place.kind}: {WAITERS} wait")
    pool.release(everything)
    start = time.monotonic() + 2
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{start} {start + SECONDS}\n")
        worker.stdin.flush()
    told = [worker.communicate()[0] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    found = [json.loads(text) for text in told]
    yield from judge(place.kind, found, start, start + SECONDS)


def judge(
    kind: str, found: list[dict[str, Any]], start: float, end: float
) -> Iterator[dict[str, Any]]:
    """Return the figures of one run from the holds and the commits that each process noted."""
    by_device = defaultdict(list)
    for began, ended, device in (hold for process in found for hold in process["holds"]):
        by_device[device].append((began, ended))
    gaps, used = [], 0.0
    for holds in by_device.values():
        holds.sort()
        used += sum(max(0.0, min(e, end) - max(b, start)) for b, e in holds)
        pairs = [(one, other) for one, other in pairwise(holds) if start <= one[1] < end]
        assert all(one[1] <= other[0] for one, other in pairs), "two held one device"
        gaps += [other[0] - one[1] for one, other in pairs]
    commits = sum((Counter(process["commits"]) for process in found), Counter())
    busy = used / (DEVICES * (end - start))
    say(f"{kind}: {len(gaps)} turns; {dict(commits)}")
    for name in found[0]["spent"]:
        median = percentile((process["spent"][name] for process in found), 0.5)
        say(f"{kind}: of a turn the {name} took {1000 * median:.0f} ms")
    yield figure(f"devices busy, 1000 waiters, {kind}", 100 * busy, "%", 85, at_least=True)
    for share, most in zip((0.5, 0.99), GOALS[kind], strict=True):
        gap = percentile(gaps, share)
        yield figure(
            f"release to next holder p{share * 100:g}, {kind}", 1000 * gap, "ms", 1000 * most
        )
    per_grant = commits["planner"] / max(1, commits["grants"])
    yield figure(f"planner's commits per grant, {kind}", per_grant, "", 1)


class Commits:
    """Counts this process's transactions by what they are for, from the statements in them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._open: dict[int, Counter[str]] = defaultdict(Counter)
        event.listen(sa.Engine, "before_cursor_execute", self._execute)
        event.listen(sa.Engine, "commit", self._commit)
        event.listen(sa.Engine, "rollback", self._rollback)

    def _execute(
        self, connection: Any, _cursor: Any, text: str, values: Any, _context: Any, many: bool
    ) -> None:
        words = " ".join(text.lower().split())
        found = self._open[id(connection)]
        if not words.startswith("select") and re.search("insert into |update |delete from ", words):
            found["writes"] += 1
        if "insert into gpu_request" in words:
            found["enqueue"] += 1
        if "update lease set" in words and "released_at=" in words:
            found["release"] += 1
        if "update lease set" in words and "activated_at=" in words:
            found["claim"] += 1
        if "insert into lease " in words:  # on a server it is part of a query
            found["grants"] += len(values) if many else 1

    def _commit(self, connection: Any) -> None:
        found = self._open.pop(id(connection), Counter())
        if not found["writes"]:
            return
        self.counts["grants"] += found["grants"]
        for kind in ("enqueue", "release", "claim"):
            if found[kind]:
                self.counts[kind] += 1
                return
        self.counts["planner"] += 1

    def _rollback(self, connection: Any) -> None:
        self._open.pop(id(connection), None)


class Crowd:
    """The tickets of one process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pool = GpuPool(open_store())
        self.watch = watch_of(self.pool)
        self.ready: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.holds: list[tuple[float, float, str]] = []
        self.spent: dict[str, list[float]] = {"release": [], "claim": []}
        self.over = threading.Event()
        self.made = 0
        self._lock = threading.Lock()
        self._ends: dict[str, Callable[[], None]] = {}  # by ticket: how to hear no more of it

    def enter(self) -> None:
        """Put one more ticket into the queue."""
        with self._lock:
            self.made += 1
            holder = f"crowd-{self.number}-{self.made}"
        ticket = self.pool.ticket(GpuRequest.of(), holder=holder)
        lease = self.pool.try_acquire(ticket)
        if lease is not None:
            self.hold(lease)
            return
        told = threading.Event()

        def hear(view: TicketView | None) -> None:
            if view is not None and view.may_be_claimed and not told.is_set():
                told.set()
                self.ready.put(ticket)

        with self._lock:
            self._ends[ticket.id] = self.watch.subscribe(ticket.id, hear)

    def hold(self, lease: Lease) -> None:
        """Use the device, and give it back."""
        began = time.monotonic()
        time.sleep(HOLD)
        ended = time.monotonic()
        self.pool.release(lease)
        self.spent["release"].append(time.monotonic() - ended)
        self.holds.append((began, ended, lease.devices[0]))

    def serve(self) -> None:
        """Take turns until it is over."""
        while not self.over.is_set():
            try:
                ticket = self.ready.get(timeout=0.2)
            except queue.Empty:
                continue
            began = time.monotonic()
            lease = self.pool.try_claim(ticket) or self.pool.try_acquire(ticket)  # as acquire does
            self.spent["claim"].append(time.monotonic() - began)
            with self._lock:
                self._ends.pop(ticket.id)()
            if lease is not None:
                self.hold(lease)
            if not self.over.is_set():
                self.enter()


def main() -> None:
    """Hold the tickets of one process until the time given on standard input."""
    number, count = int(sys.argv[1]), int(sys.argv[2])
    crowd_ = Crowd(number)
    threads = [threading.Thread(target=crowd_.serve) for _ in range(DEVICES)]
    for thread in threads:
        thread.start()
    assert sys.stdin.readline() == "enter\n"
    for _ in range(count):
        crowd_.enter()
    print("ready", flush=True)
    start, end = map(float, sys.stdin.readline().split())
    time.sleep(max(0.0, start - time.monotonic()))
    commits = Commits()
    time.sleep(max(0.0, end - time.monotonic()))
    counted = dict(commits.counts)
    crowd_.over.set()
    for thread in threads:
        thread.join()
    spent = {name: percentile(times, 0.5) for name, times in crowd_.spent.items()}
    print(json.dumps({"holds": crowd_.holds, "commits": counted, "spent": spent}))


if __name__ == "__main__":
    main()
