"""Holding proposals to the whole data: what it does not meet is loosened, or left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.suggest.propose import Entry

LEAST_MOSTLY = 0.9
_WITH_MOSTLY = (
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_match_regex",
    "expect_column_value_lengths_to_be_between",
    "expect_column_values_to_not_be_null",
)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A proposal that is not in the suite, and why."""

    entry: Entry
    reason: str


def settled(entry: Entry, outcome: Outcome | str | None) -> Entry | LeftOut:
    """Return ``entry`` as the data lets it stand.

    ``outcome`` is what the data says; a text is why it is not compiled, and None that nobody said
    anything: then only Great Expectations could tell.
    """
    if outcome is None or isinstance(outcome, str) or outcome.unsure is not None:
        why = outcome.unsure if isinstance(outcome, Outcome) else outcome
        return LeftOut(entry=entry, reason=why or "it was not judged")
    if outcome.success:
        return entry
    return _loosened(entry, outcome.result or {})


def _loosened(entry: Entry, result: Mapping[str, Any]) -> Entry | LeftOut:
    unexpected = result.get("unexpected_count")
    total = result.get("element_count")
    if entry["type"] not in _WITH_MOSTLY or unexpected is None or not total:
        return LeftOut(entry=entry, reason="not every row of the data meets it")
    considered = total - (result.get("missing_count") or 0)
    share = (considered - unexpected) / considered
    mostly = math.floor(share * 100) / 100
    if mostly < LEAST_MOSTLY:
        return LeftOut(entry=entry, reason=f"only {100 * share:.1f} % of the data meets it")
    note = f"{entry['meta']['notes']} Of all rows {100 * share:.2f} % meet it."
    return {
        **entry,
        "severity": "warning",
        "kwargs": {**entry["kwargs"], "mostly": mostly},
        "meta": {**entry["meta"], "notes": note},
    }
