"""What the GPU-slot pool tells Airflow's stats: StatsD, Datadog or OpenTelemetry, as configured.

Timings ``ai_gpu.wait`` and ``ai_gpu.hold`` (milliseconds), counter ``ai_gpu.lost``, gauges
``ai_gpu.in_use``, ``.quarantined``, ``.unhealthy`` and ``.queued``; tags ``pool`` and ``host``. As
plain StatsD drops tags, a gauge is also sent under its name with pool and host appended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.sdk.configuration import conf

from airflow_ai_provider.hooks._airflow import stats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ai_provider.store.gpu_figures import Figures

GAUGES = ("in_use", "quarantined", "unhealthy", "queued")
_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def are_on() -> bool:
    """Whether anybody listens: gauges cost a look at the store."""
    return any(conf.getboolean("metrics", name, fallback=False) for name in _SWITCHES)


def waited(seconds: float, *, pool: str, host: str) -> None:
    """Say how long a task waited for its devices."""
    stats().timing("ai_gpu.wait", seconds * 1000, tags={"pool": pool, "host": host})


def held(seconds: float, *, pool: str, host: str) -> None:
    """Say how long a task held its devices."""
    stats().timing("ai_gpu.hold", seconds * 1000, tags={"pool": pool, "host": host})


def lost(*, pool: str, host: str) -> None:
    """Count a lease that was lost before its holder released it."""
    stats().incr("ai_gpu.lost", tags={"pool": pool, "host": host})


def standing(figures: Iterable[Figures]) -> None:
    """Say how the devices of each pool and host stand, and how many requests wait for them."""
    told = stats()
    for figure in figures:
        tags = {"pool": figure.pool, "host": figure.host}
        path = ".".join(re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in tags.values() if part)
        for name in GAUGES:
            value = getattr(figure, name)
            told.gauge(f"ai_gpu.{name}", value, tags=tags)
            told.gauge(f"ai_gpu.{name}.{path}", value)
