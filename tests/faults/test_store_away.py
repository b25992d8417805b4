"""A store that is away for half a minute in the middle of leases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.faults.checker import faults_in, read_events
from tests.faults.clock import now
from tests.faults.stage import MEMORY, REPOSITORY, Stage
from tests.postgres import PostgresServer, postgres_running

AWAY = 30.0
LONG, SHORT = 60.0, 16.0  # times to live: one outlasts the absence, one does not

HOLD = """
import sys, time
from pathlib import Path
from airflow_ai_provider.services.gpu import gpu_lease
from tests.faults.holder import Log
log = Log(Path(sys.argv[1]))
ask = sys.argv[1]
log("ask", ask=ask, gpus=1, share=None)
with gpu_lease() as lease:
    devices = [f"{lease.host}/{name}" for name in lease.devices]
    log("start", ask=ask, lease=lease.id, fence=lease.fence, devices=devices)
    until = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < until:
        time.sleep(0.05)
    log("end", lease=lease.id)
log("released", lease=lease.id)
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: the others need theirs."""
    with postgres_running() as running:
        yield running


def holder(stage: Stage, host: str, name: str, seconds: float) -> subprocess.Popen[bytes]:
    ttl = LONG if host == "long" else SHORT
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(stage.folder / f"{name}.jsonl"), str(seconds)],
        env={**stage.environment(host), "AIRFLOW__AI_PROVIDER__LEASE_TTL": str(ttl)},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stderr=(stage.folder / "stderr.log").open("ab"),
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_holder_goes_on_until_its_deadline_and_is_killed_then(
    server: PostgresServer, tmp_path: Path
) -> None:
    with server.database() as url:
        migrate(Store(url))
        stage = Stage(tmp_path, url, hosts=("long", "short"), devices=1, ttl=SHORT)
        try:
            go_through_absence(stage, server)
        finally:
            stage.close()


def go_through_absence(stage: Stage, server: PostgresServer) -> None:
    holders = {host: holder(stage, host, host, AWAY + 15) for host in stage.hosts}
    assert stage.run(lambda: stage.counts["start"] == 2, timeout=30)
    who = {e["devices"][0].partition("/")[0]: e["who"] for e in stage.events if e["e"] == "start"}
    stage.run(lambda: False, timeout=SHORT / 4 + 2)  # until the keepers have renewed
    waiter = holder(stage, "short", "next", 0.1)
    assert stage.run(lambda: len(stage.status()["queue"]) == 1, timeout=30, turn_every=0.5)
    with server.away():
        left = now()
        stage.run(lambda: False, timeout=AWAY)
    assert holders["short"].wait(timeout=5) == -9
    assert stage.run(lambda: stage.counts["released"] == 2, timeout=LONG)
    assert holders["long"].wait(timeout=10) == 0
    assert waiter.wait(timeout=10) == 0
    killed_after = stage.watch.last[who["short"]] - left
    print(f"killed {killed_after:.1f} s after the store went away")
    assert SHORT / 2 - 1 < killed_after < SHORT  # it was renewed up to a quarter of SHORT before
    assert stage.watch.last[who["long"]] > left + AWAY
    stage.write_seen()
    assert faults_in(read_events(stage.folder), {"long/npu:0": MEMORY, "short/npu:0": MEMORY}) == []
    for host in stage.hosts:
        stage.probe(host, timeout=30)
