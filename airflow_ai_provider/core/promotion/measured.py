"""What loading and calling a model costs, as a process of its own measured it.

Figures that were measured replace those that training reported; where the measurement failed, the
reported ones go too, so that no budget passes on a claim that could not be confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import plain

COSTS = ("load_s", "p50_ms", "p95_ms", "p95_ms_per_1000", "peak_memory_bytes", "size_bytes")
_UNITS = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True, kw_only=True)
class MeasureLimits:
    """What the process that loads a model may use: seconds in all, and bytes of memory."""

    time_s: float = 300.0
    memory_bytes: int = 4 * 2**30

    def __post_init__(self) -> None:
        if not self.time_s > 0 or not self.memory_bytes > 0:
            raise EvidenceError(
                f"A model cannot be measured within {self.time_s} s and {self.memory_bytes} bytes.",
                remedy="Write limits above zero.",
            )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was found of one model; ``failure`` ends "the model cannot be used: ..."."""

    failure: str | None = None
    unreachable: bool = False  # nothing is known of the model: its files could not be asked for
    costs: Mapping[str, float] = field(default_factory=dict)
    artifact_digest: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    importance: Mapping[str, float] = field(default_factory=dict)


def with_measurement(
    evidence: Mapping[str, Any], found: Measurement, limits: MeasureLimits
) -> dict[str, Any]:
    """Return ``evidence`` with what was measured, in JSON's own types."""
    said = evidence.get("costs") or {}
    kept = {name: value for name, value in said.items() if name not in COSTS}
    added: dict[str, Any] = plain(
        {
            **evidence,
            "costs": {**kept, **(found.costs if found.failure is None else {})},
            "measured": {
                "loads": found.failure is None,
                "failure": found.failure,
                "rows": found.rows,
                "time_limit_s": limits.time_s,
                "memory_limit_bytes": limits.memory_bytes,
                "artifact_digest": found.artifact_digest,
                "importance": found.importance,
            },
            "environment": found.environment,
            "run": found.run,
        }
    )
    return added


def parse_bytes(value: Any) -> int:
    """Return the bytes in ``value``: a number, or a text such as ``2GiB``.

    :raises EvidenceError: it is neither.
    """
    text = str(value).strip().lower()
    for unit in sorted(_UNITS, key=len, reverse=True):
        if text.endswith(unit):
            number, factor = text.removesuffix(unit), _UNITS[unit]
            break
    else:
        number, factor = text, 1
    try:
        return int(float(number) * factor)
    except (ValueError, OverflowError):
        raise EvidenceError(
            f"{value!r} is no amount of memory.", remedy="Write bytes, or a text such as 2GiB."
        ) from None
