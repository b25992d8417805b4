"""Comparing a compiled result with the reference's."""

from __future__ import annotations

import gc
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_ai_provider.adapters import great_expectations
from airflow_ai_provider.core.quality.suite import Expectation, Suite
from airflow_ai_provider.core.quality.values import json_safe

# What is a sample, in no fixed order, or the reference's own way of showing it.
_SAMPLES = ("partial_unexpected_list", "partial_unexpected_counts", "partial_missing_list")


def _never(_expectation: Expectation) -> bool:
    return False


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away from the reference: it takes a quarter of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def answers(
    suite: Suite, data: Any, wanted: set[int], *, apart: Callable[[Expectation], bool] = _never
) -> dict[int, great_expectations.Judged]:
    """Return what the reference says of the expectations that are ``wanted``.

    What is asked in the same words is asked once. Those ``apart`` are asked among themselves: one
    that cannot be evaluated makes the reference begin again with all that were asked beside it.
    """
    alike: dict[str, list[Expectation]] = defaultdict(list)
    for expectation in suite.expectations:
        if expectation.index in wanted:
            alike[f"{expectation.type} {dict(expectation.kwargs)!r}"].append(expectation)
    firsts = [some[0] for some in alike.values()]
    judged: dict[int, great_expectations.Judged] = {}
    for is_apart in (False, True):
        asked = [e for e in firsts if apart(e) is is_apart]
        built = great_expectations.build(suite, asked)
        with uncollected():
            said = great_expectations.answers(suite, built, data, samples=False)
        judged |= {j.expectation.index: j for j in said}
    return {e.index: judged[some[0].index] for some in alike.values() for e in some}


def same(ours: Any, theirs: Any) -> bool:
    """Return whether two values are the same as JSON has them, floats up to their last digits."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, str) and theirs in {"inf", "-inf"}:
        return str(ours) == theirs
    numbers = (int, float)
    if isinstance(ours, numbers) and isinstance(theirs, numbers):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return bool(ours == theirs)


def difference(
    success: bool, result: Mapping[str, Any] | None, theirs: great_expectations.Judged
) -> str | None:
    """Return what differs between a compiled verdict with its figures and the reference's."""
    if success != theirs.success:
        return f"success {success} {dict(result or {})} against {theirs.success} {theirs.result}"
    for name, value in (json_safe(dict(result or {}))).items():
        if name not in theirs.result or name in _SAMPLES:
            continue
        other = theirs.result[name]
        if name == "unexpected_count" and other is None and not theirs.result["element_count"]:
            other = 0  # SQL's sum of nothing
        if not same(*(_shown(name, v) for v in (value, other))):
            return f"{name} {value!r} against {other!r}"
    return None


def _shown(name: str, value: Any) -> Any:
    """Return an observed value apart from the order in which it is shown."""
    if name == "observed_value" and isinstance(value, dict):
        return value["values"]
    if name == "observed_value" and isinstance(value, list):
        return sorted(value, key=repr)
    return value
