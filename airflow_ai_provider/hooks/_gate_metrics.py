"""What the data gates tell Airflow's stats: StatsD, Datadog or OpenTelemetry, as configured.

Gauges ``ai_quality.rows`` and ``ai_quality.seconds`` of the newest look, counter
``ai_quality.failed``; tags ``gate`` (data, drift), ``suite``, ``dataset`` and, of the counter,
``severity``. As plain StatsD drops tags, a gauge is also sent under its name with gate and data set
appended, the counter with gate, data set and severity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_ai_provider.hooks._airflow import stats


def looked(
    *,
    gate: str,
    suite: str,
    dataset: str,
    rows: int,
    seconds: float,
    failed: Mapping[str, int],
) -> None:
    """Say how many rows a gate looked at, how long it took, and how many failures it found."""
    told = stats()
    tags = {"gate": gate, "suite": suite, "dataset": dataset}
    path = f"{_plain(gate)}.{_plain(dataset)}"
    for name, value in (("rows", rows), ("seconds", seconds)):
        told.gauge(f"ai_quality.{name}", value, tags=tags)
        told.gauge(f"ai_quality.{name}.{path}", value)
    for severity, count in failed.items():
        told.incr("ai_quality.failed", count, tags={**tags, "severity": severity})
        told.incr(f"ai_quality.failed.{path}.{_plain(severity)}", count)


def _plain(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", word) or "_"
