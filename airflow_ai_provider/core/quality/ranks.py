"""Exact quantiles of a long column without holding the column in memory.

A sample says between which two values each quantile almost surely lies. One look counts the values
below and between them, so that the quantile's place among those between is known, and another takes
it from those: a few in a hundred. Where the sample was wrong, the counts show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_ai_provider.core.quality.check import RELATION, counted
from airflow_ai_provider.core.quality.sql import number

_SAMPLE = 16384
_ROOM = 0.02  # on each side of a quantile: five standard errors of the sample's median

Bracket = tuple[float | None, float | None]


def place(count: int, quantile: float) -> int:
    """Return the place, from 0, of the value nearest to ``quantile`` among ``count``."""
    return round((count - 1) * quantile)


def taken(value: str, places: Sequence[int], count: int) -> str:
    """Return the aggregate of the values at ``places`` among ``count``.

    Each share is one at which DuckDB takes exactly the value of that place.
    """
    shares = ", ".join(repr((p + 0.5) / count) for p in places)
    return f"quantile_disc({value}, [{shares}])"


def sampled(value: str, quantiles: Sequence[float]) -> str:
    """Return the aggregate from which ``brackets`` are made."""
    shares = ", ".join(
        repr(min(1.0, max(0.0, q + room))) for q in quantiles for room in (-_ROOM, _ROOM)
    )
    return f"reservoir_quantile({value}, [{shares}], {_SAMPLE})"


def brackets(quantiles: Sequence[float], found: Sequence[float]) -> list[Bracket]:
    """Return between which values each quantile is looked for; open at the ends."""
    return [
        (low if q > _ROOM else None, high if q < 1 - _ROOM else None)
        for q, low, high in zip(quantiles, found[::2], found[1::2], strict=True)
    ]


def counts(value: str, within: Sequence[Bracket]) -> str:
    """Return the statement that counts the values below each bracket and in it."""
    figures = ", ".join(
        f"{counted(_below(value, each))}, {counted(_between(value, each))}" for each in within
    )
    return f"SELECT {figures} FROM {RELATION}"  # noqa: S608


def ranked(
    value: str, within: Sequence[Bracket], places: Sequence[int], row: Sequence[int]
) -> str | None:
    """Return the statement that takes the values at ``places``; None where one lies elsewhere.

    ``row`` is the answer to ``counts``.
    """
    figures = []
    for each, wanted, below, inside in zip(within, places, row[::2], row[1::2], strict=True):
        if not below <= wanted < below + inside:
            return None
        kept = f"CASE WHEN {_between(value, each)} THEN {value} END"
        figures.append(f"{taken(kept, [wanted - below], inside)}[1]")
    return f"SELECT [{', '.join(figures)}] FROM {RELATION}"  # noqa: S608


def _below(value: str, within: Bracket) -> str:
    low, _ = within
    return "false" if low is None else f"{value} < {_literal(low)}"


def _between(value: str, within: Bracket) -> str:
    low, high = within
    parts = [f"{value} IS NOT NULL"]
    if low is not None:
        parts.append(f"{value} >= {_literal(low)}")
    if high is not None:
        parts.append(f"{value} <= {_literal(high)}")
    return " AND ".join(parts)


def _literal(value: float) -> str:
    return f"({value})" if isinstance(value, int) else number(value)
