"""Two worker hosts with a device each: a task that waited may come back on either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.faults.clock import now
from tests.live.executor import HOSTS
from tests.live.stage import LiveStage, live
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(600)]

DEVICES = [f"{host}/npu:0" for host in HOSTS]


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[LiveStage]:
    """An Airflow whose workers are two hosts; the store is on PostgreSQL, which both may use."""
    with postgres_server.database() as store:
        migrate(Store(store))
        env = {
            "LIVE_STORE": Store(store).full_url,
            "AIRFLOW__CORE__EXECUTOR": "tests.live.executor.TwoHostsExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": "",
        }
        with live(tmp_path_factory.mktemp("hosts"), store=store, env=env) as staged:
            yield staged


@pytest.mark.parametrize(
    ("count", "times"),
    [(12, 1), pytest.param(100, 3, marks=[pytest.mark.faults, pytest.mark.timeout(1800)])],
)
def test_tasks_come_back_on_either_host_and_all_succeed(
    stage: LiveStage, count: int, times: int
) -> None:
    for number in range(times):
        conf = {"name": f"both {count} {number}", "model": "npu", "seconds": 0.1, "count": count}
        began = now()
        run = stage.rest.trigger("many", conf)
        tasks = stage.wait_for_states("many", run, count, {"success", "failed"}, timeout=500)
        assert [task["state"] for task in tasks] == ["success"] * count
        uses = stage.begin(f"both {count} {number}")
        assert len(uses) == count
        assert all(
            device.startswith(f"{use['host']}/") for use in uses for device in use["devices"]
        )
        by_host = defaultdict(list)
        for use in uses:
            by_host[use["host"]].append(use)
        assert by_host.keys() == set(HOSTS)
        print({host: len(found) for host, found in by_host.items()}, f"{now() - began:.0f} s")
    stage.judge(DEVICES)
