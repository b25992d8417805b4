"""What tests must know of the versions of Airflow that they run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk.observability import stats

try:
    from airflow.sdk.exceptions import TaskAwaitingInput as AskedSomebody
except ImportError:  # before 3.3 a task that asks is deferred
    from airflow.sdk.exceptions import TaskDeferred as AskedSomebody  # type: ignore[assignment]

__all__ = ["AskedSomebody", "telling"]


@contextmanager
def telling(backend: Any) -> Iterator[None]:
    """Have Airflow's stats tell ``backend`` while the block runs."""
    _initialize(lambda: backend)
    yield
    _initialize(NoStatsLogger)


def _initialize(factory: Any) -> None:
    if hasattr(stats, "initialize"):
        stats.initialize(factory=factory, export_legacy_names=False)
    else:  # before 3.3
        stats.Stats.initialize(factory=factory)
