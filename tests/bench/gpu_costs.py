"""What it costs that nothing happens: a keeper while leases are held, a triggerer while tasks wait.

Both are measured over a minute on each kind of store, side by side: neither has much to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.store.engine import Store
from tests.bench.gpu_stores import KINDS, Bench, bench, program
from tests.bench.report import figure, say

LEASES, SETTLE, SECONDS = 8, 8.0, 60.0
CROWD = 100  # tasks that wait in one triggerer


def measure() -> Iterator[dict[str, Any]]:
    """Measure each kind of store in turn."""
    for kind in KINDS:
        with bench(kind, devices=LEASES) as place, ExitStack() as stack:
            for _ in range(LEASES):
                holder = start(place, "hold")
                stack.callback(end, holder)
            keeper = place.keeper()
            tickets = enqueue(place, 1 + CROWD)
            triggerers = {
                "one": start(place, "wait", *tickets[:1]),
                "crowd": start(place, "wait", *tickets[1:]),
            }
            time.sleep(SETTLE)
            before = cpu_seconds(keeper)
            time.sleep(SECONDS)
            spent = cpu_seconds(keeper) - before
            assert place.keepers() == [keeper], "the keeper did not last"
            yield figure(f"keeper, {LEASES} leases, {kind}: CPU", 100 * spent / SECONDS, "%", 1)
            yield figure(f"keeper, {LEASES} leases, {kind}: memory", memory(keeper), "MB", 40)
            told = {name: end(process) for name, process in triggerers.items()}
        yield figure(
            f"queries of the triggerer per waiting task in 5 s, {kind}",
            told["one"]["queries"] * 5 / told["one"]["seconds"], "", 1,
            peer=f"{told['crowd']['queries'] * 5 / told['crowd']['seconds']:.2f} for {CROWD}",
        )  # fmt: skip
        for name, found in told.items():
            say(f"{kind}: a triggerer with {name}: {found}")


def start(place: Bench, *arguments: str) -> subprocess.Popen[str]:
    """Start a part of this and wait until it does what it has to."""
    process = subprocess.Popen(
        program("tests.bench.gpu_costs", *arguments),
        env=place.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """End a part and return what it has to tell."""
    told, _ = process.communicate("")
    assert process.returncode == 0
    document: dict[str, Any] = json.loads(told)
    return document


def enqueue(place: Bench, count: int) -> list[str]:
    """Put tickets into the queue, as tasks do that defer then; return their ids."""
    store = Store.open(place.url)
    pool = GpuPool(store)
    tickets = [pool.ticket(GpuRequest.of(), holder=f"task-{number}") for number in range(count)]
    for ticket in tickets:
        assert pool.try_acquire(ticket) is None
    store.close()
    return [ticket.id for ticket in tickets]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its ended children took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB, what it shares with others included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"process {pid} has no memory")


def hold() -> None:
    """Hold one lease until the end of standard input."""
    from airflow_ai_provider.services.gpu import gpu_lease

    with gpu_lease():
        print("ready", flush=True)
        sys.stdin.read()
    print("{}")


def wait(tickets: list[str]) -> None:
    """Run a trigger for each ticket until the end of standard input, and count statements."""
    from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger

    queries = 0

    def count(*_: Any) -> None:
        nonlocal queries
        queries += 1

    event.listen(sa.Engine, "before_cursor_execute", count)

    async def run() -> dict[str, Any]:
        nonlocal queries
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        triggers = [GpuLeaseTrigger(ticket=ticket, not_before=0.0) for ticket in tickets]
        tasks = [asyncio.create_task(first_event(trigger)) for trigger in triggers]
        print("ready", flush=True)
        await asyncio.sleep(SETTLE)
        queries, began = 0, time.monotonic()
        before = resource.getrusage(resource.RUSAGE_SELF)

        def read() -> None:
            sys.stdin.read()
            loop.call_soon_threadsafe(over.set)

        threading.Thread(target=read, daemon=True).start()
        await over.wait()
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert not any(task.done() for task in tasks), "a trigger fired"
        for task in tasks:
            task.cancel()
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {
            "queries": queries,
            "seconds": round(time.monotonic() - began, 1),
            "cpu_percent": round(100 * cpu / (time.monotonic() - began), 2),
            "switches": after.ru_nvcsw - before.ru_nvcsw,
        }

    print(json.dumps(asyncio.run(run())), flush=True)
    os._exit(0)  # threads of the triggers may still sleep


async def first_event(trigger: Any) -> Any:
    """Return what the trigger fires first."""
    async for fired in trigger.run():
        return fired
    return None


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold()
    else:
        wait(sys.argv[2:])
