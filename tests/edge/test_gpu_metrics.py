"""What Airflow's stats are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.operators.gpu import GpuPythonOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.airflow_versions import telling
from tests.edge.gpu_tasks import context, execute, occupy


class FakeBackend:
    """A stats backend that remembers; the newest value of each name and tags stands."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, Any]] = {"timing": {}, "gauge": {}, "incr": {}}

    def timing(self, stat: str, dt: float, *, tags: dict[str, str] | None = None) -> None:
        self.said["timing"][stat] = (dt, tags)

    def gauge(
        self, stat: str, value: float, *, tags: dict[str, str] | None = None, **_: Any
    ) -> None:
        self.said["gauge"][stat] = (value, tags)

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        self.said["incr"][stat] = (count, tags)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    fake = FakeBackend()
    with telling(fake):
        yield fake


def task(function: Any) -> GpuPythonOperator:
    return GpuPythonOperator(task_id="t", python_callable=function, deferrable=True, dag=DAG("d"))


def test_a_task_says_how_long_it_waited_and_held(pool: GpuPool, backend: FakeBackend) -> None:
    seen: dict[str, Any] = {}
    execute(task(lambda: seen.update(backend.said["gauge"])), "execute", context())
    tags = {"pool": "default", "host": pool.here.name}
    waited, held = (backend.said["timing"][f"ai_gpu.{name}"] for name in ("wait", "hold"))
    assert (waited[1], held[1]) == (tags, tags)
    assert 0 <= waited[0] < 60_000
    assert 0 < held[0] < 60_000
    assert seen["ai_gpu.in_use"] == (1, tags)
    assert backend.said["gauge"]["ai_gpu.in_use"] == (0, tags)


def test_the_wait_is_counted_from_when_the_task_first_asked(
    pool: GpuPool, backend: FakeBackend
) -> None:
    other, at = occupy(pool), context()
    with pytest.raises(TaskDeferred) as deferred:
        execute(task(lambda: None), "execute", at)
    pool.release(other)
    since = deferred.value.trigger.waiting_since - 30
    event = {"outcome": "claimable", "ticket": "", "reason": "", "deadline": None}
    execute(task(lambda: None), "execute_with_lease", at, {**event, "waiting_since": since})
    assert backend.said["timing"]["ai_gpu.wait"][0] >= 30_000


def test_a_lost_lease_is_counted(pool: GpuPool, backend: FakeBackend) -> None:
    def lose() -> None:
        (mine,) = pool.gpu.leases()
        pool.gpu.release(mine.id, mine.fence, reason="taken away")

    with pytest.raises(LeaseLostError):
        execute(task(lose), "execute", context())
    assert backend.said["incr"]["ai_gpu.lost"][0] == 1


def test_the_standing_of_the_pool_is_told(pool: GpuPool, backend: FakeBackend) -> None:
    other = occupy(pool)
    assert pool.try_acquire(pool.ticket(GpuRequest.of(), holder="waits")) is None
    GpuPoolHook().report()
    gauges = {name: value for name, (value, tags) in backend.said["gauge"].items() if tags}
    assert gauges == {
        "ai_gpu.in_use": 1, "ai_gpu.quarantined": 0, "ai_gpu.unhealthy": 0, "ai_gpu.queued": 1
    }  # fmt: skip
    host = pool.here.name.replace(".", "_")
    assert backend.said["gauge"][f"ai_gpu.queued.default.{host}"] == (1, None)
    pool.release(other)


def test_nobody_is_told_where_nobody_listens(
    pool: GpuPool, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    GpuPoolHook().report()
    assert backend.said["gauge"] == {}


def test_figures_that_cannot_be_had_fail_nothing(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", "postgresql+psycopg://u:p@127.0.0.1:1/x")
    GpuPoolHook().report()
    assert backend.said["gauge"] == {}
