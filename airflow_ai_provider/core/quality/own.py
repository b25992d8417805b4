"""Our own expectations: drift, freshness, volume and schema change, beside Great Expectations'.

They stand in a suite like any other, with severity and ``$PARAMETER``; Great Expectations itself
does not know them, so a suite that is also run there keeps them in a file of their own. They look
at files and tables alike, but for ``expect_files_to_be_recent`` and personal data. Of a table
nothing is pulled but counts: Kolmogorov-Smirnov and Wasserstein then carry the error that the
counting leaves (see ``core.quality.drift.distances``), and types are compared by DuckDB's names
for them.

``expect_column_drift_to_be_less_than``
    ``column``, ``reference`` (path of data or of a profile), ``method`` (a measure of drift: psi
    unless said), ``threshold`` (the measure's usual limit at this severity unless said). Of a
    p-value the threshold is the least that is let pass.
``expect_column_newest_value_to_be_recent``
    ``column`` of dates or times (without a zone: UTC), ``max_age`` (``"36h"``, or seconds), and
    ``max_ahead``: how far in the future the newest value may lie (a day unless said).
``expect_files_to_be_recent``
    ``max_age``: how long ago the newest file may have been written.
``expect_table_row_count_to_be_near_reference``
    ``min_ratio`` and ``max_ratio`` to the rows of ``reference``, or to the median of the last
    ``last_records`` deliveries of the data set that passed a gate. With fewer than ``min_records``
    (1 unless said) in the ledger it is not met; 0 lets the first delivery pass.
``expect_table_schema_to_match_reference``
    ``reference``, and ``allow``: which of ``added``, ``removed`` and ``retyped`` are no failure.
``expect_column_values_to_hold_no_personal_data``
    ``column``, and ``kinds`` (all of ``core.quality.personal.kinds`` unless said): ``email``,
    ``phone``, ``iban``, ``payment_card``, ``us_ssn``, ``uk_nino``, ``fr_nir``, ``de_tax_id``,
    ``es_dni``, ``it_fiscal_code``, ``nl_bsn``, ``ip_address``, ``date_of_birth`` (by the column's
    name). Every row is looked at; the result names kinds, rows and masks, and never a value.
``expect_table_to_hold_no_personal_data``
    The same of every column but those listed as ``except_columns``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_ai_provider.core.quality.catalogue import Signature

DRIFT = "expect_column_drift_to_be_less_than"
NEWEST = "expect_column_newest_value_to_be_recent"
FILES = "expect_files_to_be_recent"
VOLUME = "expect_table_row_count_to_be_near_reference"
SCHEMA = "expect_table_schema_to_match_reference"
PERSONAL_COLUMN = "expect_column_values_to_hold_no_personal_data"
PERSONAL_TABLE = "expect_table_to_hold_no_personal_data"

OWN: dict[str, Signature] = {
    DRIFT: Signature(required=("column", "reference"), optional=("method", "threshold")),
    NEWEST: Signature(required=("column", "max_age"), optional=("max_ahead",)),
    FILES: Signature(required=("max_age",)),
    VOLUME: Signature(
        optional=("reference", "last_records", "min_records", "min_ratio", "max_ratio")
    ),
    SCHEMA: Signature(required=("reference",), optional=("allow",)),
    PERSONAL_COLUMN: Signature(required=("column",), optional=("kinds",)),
    PERSONAL_TABLE: Signature(optional=("kinds", "except_columns")),
}
CHANGES = ("added", "removed", "retyped")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])?\s*")

Problem = tuple[str, str]


def seconds_of(age: Any) -> float | None:
    """Return the seconds that ``age`` means: a number of them, or ``"36h"``; None when neither."""
    if isinstance(age, (int, float)) and not isinstance(age, bool):
        return float(age) if age >= 0 else None
    found = _AGE.fullmatch(age) if isinstance(age, str) else None
    return float(found[1]) * _UNITS[found[2] or "s"] if found else None


def wrong_own_argument(kind: str, kwargs: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with the arguments of our expectation ``kind``, and what to do."""
    for name in ("max_age", "max_ahead"):
        if name in kwargs and seconds_of(kwargs[name]) is None:
            return f"has {name}={kwargs[name]!r}", 'Give seconds, or a text such as "36h" or "2d".'
    reference = kwargs.get("reference")
    if "reference" in kwargs and not (isinstance(reference, str) and reference):
        return f"has the reference {reference!r}", "Give the path of data or of a profile."
    check = {
        DRIFT: _wrong_drift,
        VOLUME: _wrong_volume,
        SCHEMA: _wrong_schema,
        PERSONAL_COLUMN: _wrong_personal,
        PERSONAL_TABLE: _wrong_personal,
    }.get(kind)
    return check(kwargs) if check else None


def _wrong_drift(kwargs: Mapping[str, Any]) -> Problem | None:
    from airflow_ai_provider.core.quality.drift.measures import MEASURES

    method, threshold = kwargs.get("method", "psi"), kwargs.get("threshold")
    if method not in MEASURES:
        return f"has the method {method!r}", f"Use one of {', '.join(MEASURES)}."
    if threshold is None and not MEASURES[method].limits:
        return f"has no threshold, and {method} has no usual one", "Give a threshold."
    if threshold is not None and not _from_zero(threshold):
        return f"has threshold={threshold!r}", "Give a number from 0."
    return None


def _wrong_volume(kwargs: Mapping[str, Any]) -> Problem | None:
    if ("reference" in kwargs) == ("last_records" in kwargs):
        return "needs either reference or last_records", "Give one of them."
    for name, least in (("last_records", 1), ("min_records", 0)):
        value = kwargs.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            return f"has {name}={value!r}", f"Give a whole number from {least}."
    ratios = [kwargs[n] for n in ("min_ratio", "max_ratio") if n in kwargs]
    if not ratios or not all(_from_zero(r) for r in ratios):
        return "needs min_ratio or max_ratio, numbers from 0", "Give at least one."
    if len(ratios) == 2 and ratios[0] > ratios[1]:
        return f"has min_ratio {ratios[0]} above max_ratio {ratios[1]}", "Exchange them."
    return None


def _wrong_schema(kwargs: Mapping[str, Any]) -> Problem | None:
    allow = kwargs.get("allow", [])
    if isinstance(allow, (list, tuple)) and set(allow) <= set(CHANGES):
        return None
    return f"has allow={allow!r}", f"Give a list of {', '.join(CHANGES)}."


def _wrong_personal(kwargs: Mapping[str, Any]) -> Problem | None:
    from airflow_ai_provider.core.quality.personal.kinds import BY_NAME

    for name in ("kinds", "except_columns"):
        listed = kwargs.get(name, [])
        if not isinstance(listed, (list, tuple)) or not all(isinstance(v, str) for v in listed):
            return f"has {name}={listed!r}", "Give a list of names."
    kinds = kwargs.get("kinds")
    if kinds is not None and not (kinds and set(kinds) <= set(BY_NAME)):
        return f"has kinds={list(kinds)!r}", f"Give some of {', '.join(BY_NAME)}."
    return None


def _from_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
