"""Judging quantiles by their ranges, alike for every engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_ai_provider.core.quality.check import NotCompiledError, Outcome
from airflow_ai_provider.core.quality.suite import Expectation

Range = tuple[float, float]


def quantile_ranges(e: Expectation) -> tuple[list[float], list[Range]]:
    """Return the quantiles and their ranges, open ends as infinities.

    :raises NotCompiledError: they are not as the reference takes them.
    """
    given = e.kwargs["quantile_ranges"]
    try:
        quantiles = [float(q) for q in given["quantiles"]]
        ranges = [
            (-math.inf if low is None else float(low), math.inf if high is None else float(high))
            for low, high in given["value_ranges"]
        ]
    except (KeyError, TypeError, ValueError):
        raise NotCompiledError("quantile_ranges are no quantiles with their value_ranges") from None
    if not quantiles or len(quantiles) != len(ranges) or not all(0 <= q <= 1 for q in quantiles):
        raise NotCompiledError("quantiles and value_ranges do not fit each other")
    if e.kwargs.get("allow_relative_error"):
        raise NotCompiledError("allow_relative_error is the reference's own")
    return quantiles, ranges


def judge_quantiles(
    quantiles: Sequence[float], ranges: Sequence[Range], values: Sequence[Any]
) -> Outcome:
    """Judge quantiles by their ranges, with the reference's tolerance at the ends."""
    details = [_in_range(value, *ends) for value, ends in zip(values, ranges, strict=True)]
    return Outcome(
        success=all(details),
        result={
            "observed_value": {"quantiles": list(quantiles), "values": list(values)},
            "details": {"success_details": details},
        },
    )


def _in_range(value: Any, low: float, high: float) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    near = (abs(value - end) <= 1e-8 + 1e-4 * abs(end) for end in (low, high) if math.isfinite(end))
    return bool(value in {low, high} or any(near) or low <= value <= high)
