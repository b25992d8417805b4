"""Kills, pauses and broken connections: no device is ever used twice, and nothing leaks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.faults.checker import faults_in, read_events
from tests.faults.clock import now
from tests.faults.stage import Stage, chosen

HOLDERS = 16
TTL = 6.0


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Eight devices on SQLite; on PostgreSQL four on each of two hosts."""
    if request.param == "sqlite":
        url, hosts = f"sqlite:///{tmp_path / 'airflow_ai.db'}", ("one",)
        Store.open(url).close()
    else:
        url, hosts = request.getfixturevalue("postgres_url"), ("one", "two")
        migrate(Store(url))
    staged = Stage(tmp_path, url, hosts=hosts, devices=8 // len(hosts), ttl=TTL)
    try:
        yield staged
    finally:
        staged.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_minute_of_faults_leaves_no_overlap_and_no_lease(stage: Stage) -> None:
    go_through_faults(stage, operations=60, seconds=35, fault_every=0.8)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_ten_thousand_operations_under_faults(stage: Stage) -> None:
    go_through_faults(stage, operations=10_000, seconds=60, fault_every=2.0)


def go_through_faults(stage: Stage, *, operations: int, seconds: float, fault_every: float) -> None:
    """Run holders under faults for ``seconds`` and ``operations`` leases, then judge."""
    chance = random.Random(11)
    for number in range(HOLDERS):
        stage.start_holder(f"{stage.hosts[number % len(stage.hosts)]}.{number}")
    deeds = {
        stage.kill_holder: 4,
        stage.kill_keeper: 2,
        stage.kill_both: 2,
        stage.stop_holder: 3,
        stage.stop_keeper: 1,
        stage.terminate_backends: 0 if stage.url.startswith("sqlite") else 4,
    }
    least, most = now() + seconds, now() + max(seconds, operations / 3)
    done = 0
    while now() < least or stage.counts["start"] < operations:
        assert now() < most, f"too slow: {stage.counts}"
        stage.run(lambda: False, timeout=chance.expovariate(1 / fault_every))
        chosen(deeds, chance)(chance)
        stage.restart_the_dead()
        done += 1
    come_to_rest(stage)
    events = read_events(stage.folder)
    assert faults_in(events, stage.capacity) == []
    assert done >= seconds / fault_every / 3
    print(f"{done} faults, {dict(stage.counts)}")


def come_to_rest(stage: Stage) -> None:
    """Let every request be answered, then hold the store to it that nothing is left."""
    stage.let_all_go_on()
    (stage.folder / "idle").touch()
    answered = stage.run(lambda: not stage.unanswered(), timeout=60)
    status = stage.status()
    assert answered, f"unanswered: {stage.unanswered()}; {status}"
    for host in stage.hosts:
        stage.probe(host, timeout=stage.ttl + 30)
    status = stage.status()
    assert [d["holders"] for d in status["devices"] if d["holders"]] == [], "leases leaked"
    assert status["queue"] == []
    assert {f"{d['host']}/{d['uuid']}" for d in status["devices"]} == stage.capacity.keys()
    assert {d["health"] for d in status["devices"]} == {"healthy"}
    stage.write_seen()
