"""Quotas: what a team, a project or a phase is guaranteed of a pool, and what it may borrow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_ai_provider.core.errors import QuotaError
from airflow_ai_provider.core.gpu.devices import DEFAULT_POOL
from airflow_ai_provider.core.gpu.request import PHASES

KINDS = ("team", "project", "phase")


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A part of a pool, in devices: a share of one device is its fraction of it.

    ``guaranteed`` is its own whenever it asks; ``weight`` parts what is left over between those who
    borrow; ``ceiling`` is the most that it may hold, borrowed devices included, None for no limit.
    """

    kind: str
    name: str
    weight: float = 1.0
    guaranteed: float = 0.0
    ceiling: float | None = None
    pool: str = DEFAULT_POOL

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _wrong(self, f"has the kind {self.kind!r}", f"Use one of {', '.join(KINDS)}.")
        if self.kind == "phase" and self.name not in PHASES:
            raise _wrong(self, "names no phase", f"Use one of {', '.join(PHASES)}.")
        for name in ("name", "pool"):
            text = getattr(self, name)
            if not (text.strip() and text.isprintable() and len(text) <= 250):
                raise _wrong(self, f"has no usable {name}", "Write a text of 1 to 250 characters.")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise _wrong(self, f"has the weight {self.weight}", "Write a number above 0.")
        if not (math.isfinite(self.guaranteed) and self.guaranteed >= 0):
            raise _wrong(self, f"guarantees {self.guaranteed} devices", "Write 0 or more.")
        if self.ceiling is not None and not (
            math.isfinite(self.ceiling) and self.ceiling >= self.guaranteed
        ):
            raise _wrong(
                self,
                f"has the ceiling {self.ceiling} and guarantees {self.guaranteed}",
                "Write a ceiling that is no lower than what is guaranteed.",
            )


def _wrong(quota: Quota, what: str, remedy: str) -> QuotaError:
    return QuotaError(
        f"The quota of {quota.kind} {quota.name!r} in pool {quota.pool!r} {what}.", remedy=remedy
    )
