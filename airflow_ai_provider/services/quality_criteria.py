"""Our own expectations of a suite: drift, freshness, volume, schema change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from airflow_ai_provider.core.errors import DriftSettingsError
from airflow_ai_provider.core.quality.own import (
    CHANGES,
    DRIFT,
    FILES,
    NEWEST,
    OWN,
    PERSONAL_COLUMN,
    PERSONAL_TABLE,
    SCHEMA,
    VOLUME,
    seconds_of,
)
from airflow_ai_provider.core.quality.page.pictures import shares_of
from airflow_ai_provider.core.quality.report import ExpectationResult
from airflow_ai_provider.core.quality.suite import Expectation, Suite

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.drift.columns import Source
    from airflow_ai_provider.core.quality.drift.compare import Measured
    from airflow_ai_provider.core.quality.personal.tally import Finding
    from airflow_ai_provider.services.drift import Reference

_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What our expectations need besides the data.

    ``now`` is the time that ages are counted to (the clock's unless given); ``history`` returns the
    rows of the last so many deliveries that passed, the newest first; ``local`` gives the local
    path of a reference that is elsewhere.
    """

    now: datetime | None = None
    history: Callable[[int], Sequence[int]] | None = None
    local: Callable[[str], AbstractContextManager[str]] = nullcontext
    memory_limit: str | None = None


class Looked(Protocol):
    """The data, as far as our expectations ask it."""

    @property
    def columns(self) -> Source:
        """Its columns."""

    def newest(self, column: str) -> float | None:
        """Return the newest time of ``column`` in seconds since 1970; None of none.

        :raises NotOfKindError: the column holds no times.
        """

    def modified(self) -> float | None:
        """Return when it was last written, in seconds since 1970; None when nobody can tell."""

    def personal(self, columns: Sequence[str], kinds: Sequence[str]) -> Sequence[Finding]:
        """Return the personal data of ``kinds`` in ``columns``; every row is looked at."""


def apart(suite: Suite) -> tuple[Suite, tuple[Expectation, ...]]:
    """Return ``suite`` without our own expectations, and these."""
    own = tuple(e for e in suite.expectations if e.type in OWN)
    others = tuple(e for e in suite.expectations if e.type not in OWN)
    return (replace(suite, expectations=others) if own else suite), own


def need_table(suite: Suite, own: Sequence[Expectation]) -> None:
    """Make sure that our expectations ``own`` can look at a table.

    :raises SuiteError: one asks when files were written, or for every value of a column.
    """
    for e in own:
        if e.type == FILES:
            raise suite.error(
                e,
                "looks at files, and this is a table",
                "Use expect_column_newest_value_to_be_recent on a column of times.",
            )
        if e.type in {PERSONAL_COLUMN, PERSONAL_TABLE}:
            raise suite.error(
                e,
                "looks at every value, and a table's are not pulled",
                "Export the table to Parquet first; `airflow-ai quality scan` looks at a sample.",
            )


def need_own_columns(suite: Suite, own: Sequence[Expectation], names: Sequence[str]) -> None:
    """Make sure, before the data is read, that our expectations ``own`` find their columns.

    :raises SuiteError: one looks at a column that is not there.
    """
    for e in own:
        for name in (*e.columns, *e.kwargs.get("except_columns", ())):
            if name not in names:
                raise suite.error(
                    e,
                    f"looks at the column {name!r}, which the data does not have",
                    f"The data has {', '.join(names[:40])}.",
                )


def judge(
    suite: Suite, own: Sequence[Expectation], data: Looked, around: Surroundings
) -> list[ExpectationResult]:
    """Return what our expectations ``own`` of ``suite`` say of ``data``.

    :raises SuiteError: one cannot be evaluated; nothing passes unseen.
    :raises DataReadError: a reference cannot be read.
    """
    if not own:
        return []
    with ExitStack() as stack:
        return Criteria(suite, data, around, stack).results(own)


class Criteria:
    """Our expectations of one suite on one data set; each reference is opened once."""

    def __init__(self, suite: Suite, data: Looked, around: Surroundings, stack: ExitStack) -> None:
        self._suite = suite
        self._data = data
        self._around = around
        self._stack = stack
        self._references: dict[str, Reference] = {}

    def results(self, own: Sequence[Expectation]) -> list[ExpectationResult]:
        """Return the results, in the order of ``own``."""
        for e in own:  # before anything is read
            self._need_column(e)
        drifted = self._drifts([e for e in own if e.type == DRIFT])
        others: dict[str, Callable[[Expectation], ExpectationResult]] = {
            NEWEST: self._newest,
            FILES: self._files,
            VOLUME: self._volume,
            SCHEMA: self._schema,
            PERSONAL_COLUMN: self._personal,
            PERSONAL_TABLE: self._personal,
        }
        return [drifted[e.index] if e.type == DRIFT else others[e.type](e) for e in own]

    def _need_column(self, e: Expectation) -> None:
        need_own_columns(self._suite, [e], list(self._data.columns.types))

    def _reference(self, e: Expectation) -> Reference:
        from airflow_ai_provider.services.drift import open_reference

        path = str(e.kwargs["reference"])
        if path not in self._references:
            here = self._stack.enter_context(self._around.local(path))
            limit = self._around.memory_limit
            opened = open_reference(here, shown_as=path, memory_limit=limit)
            self._references[path] = self._stack.enter_context(opened)
        return self._references[path]

    def _drifts(self, wanted: Sequence[Expectation]) -> dict[int, ExpectationResult]:
        """Compare each column with each reference once, whatever is asked of it."""
        pairs: dict[tuple[str, str], list[Expectation]] = {}
        for e in wanted:
            pairs.setdefault((e.kwargs["reference"], e.kwargs["column"]), []).append(e)
        self._data.columns.look_ahead([column for _, column in pairs])
        found: dict[int, ExpectationResult] = {}
        for asked in pairs.values():
            found |= self._compared(asked)
        return found

    def _compared(self, asked: Sequence[Expectation]) -> dict[int, ExpectationResult]:
        from airflow_ai_provider.core.quality.drift.measures import MEASURES
        from airflow_ai_provider.core.quality.drift.settings import ColumnSettings
        from airflow_ai_provider.services.drift import compare_column

        first = asked[0]
        reference, name = self._reference(first), str(first.kwargs["column"])
        if name not in reference.source.types:
            raise self._suite.error(
                first,
                f"looks at the column {name!r}, which the reference does not have",
                f"The reference has {', '.join(list(reference.source.types)[:40])}.",
            )
        methods = tuple(
            dict.fromkeys(MEASURES[e.kwargs.get("method", "psi")].method for e in asked)
        )
        try:
            drift = compare_column(
                reference.source,
                self._data.columns,
                name,
                ColumnSettings(methods=methods, own=methods),
            )
        except DriftSettingsError as error:
            raise self._suite.error(first, f"cannot be measured: {error}") from error
        measured = {m.measure.name: m for m in drift.measured}
        picture = shares_of(drift)
        return {
            e.index: replace(_drifted(e, reference, measured, drift.problem), picture=picture)
            for e in asked
        }

    def _newest(self, e: Expectation) -> ExpectationResult:
        from airflow_ai_provider.core.quality.drift.columns import NotOfKindError

        try:
            newest = self._data.newest(str(e.kwargs["column"]))
        except NotOfKindError as error:
            raise self._suite.error(
                e, f"needs a column of times: {error}", "Name another column."
            ) from None
        return self._aged(e, newest, seconds_of(e.kwargs.get("max_ahead", _DAY)) or 0.0)

    def _files(self, e: Expectation) -> ExpectationResult:
        modified = self._data.modified()
        if modified is None:
            raise self._suite.error(
                e,
                "needs the time the data was written, which is not known",
                "Use expect_column_newest_value_to_be_recent on a column of times.",
            )
        return self._aged(e, modified, _DAY)

    def _aged(self, e: Expectation, newest: float | None, ahead: float) -> ExpectationResult:
        most = seconds_of(e.kwargs["max_age"])
        if newest is None or most is None:
            return _result(e, False, None, {"reason": "there is no time to look at"})
        now = (self._around.now or datetime.now(timezone.utc)).timestamp()
        age = now - newest
        seen = datetime.fromtimestamp(newest, timezone.utc).isoformat()
        return _result(e, -ahead <= age <= most, seen, {"age_seconds": age})

    def _volume(self, e: Expectation) -> ExpectationResult:
        rows = self._data.columns.rows
        if "reference" in e.kwargs:
            reference = self._reference(e)
            return _near(e, rows, reference.seen.rows, {"reference": reference.seen.path})
        if self._around.history is None:
            raise self._suite.error(
                e,
                "needs the ledger's records of this data set, which are not at hand",
                "Give the gate a dataset and a store, or the expectation a reference.",
            )
        earlier = list(self._around.history(int(e.kwargs["last_records"])))
        details = {"records": len(earlier)}
        if len(earlier) < int(e.kwargs.get("min_records", 1)):
            return _result(e, False, rows, {**details, "reason": "too few records to compare with"})
        return (
            _near(e, rows, median(earlier), details) if earlier else _result(e, True, rows, details)
        )

    def _personal(self, e: Expectation) -> ExpectationResult:
        from airflow_ai_provider.core.quality.personal.kinds import BY_NAME

        passed_over = e.kwargs.get("except_columns", ())
        columns = e.columns or tuple(n for n in self._data.columns.types if n not in passed_over)
        found = self._data.personal(columns, tuple(e.kwargs.get("kinds", BY_NAME)))
        seen = "; ".join(finding.sentence() for finding in found) or "none"
        result = _result(e, not found, seen, {"found": [finding.as_dict() for finding in found]})
        unexpected = sum(finding.count for finding in found)
        return replace(result, result={**result.result, "unexpected_count": unexpected})

    def _schema(self, e: Expectation) -> ExpectationResult:
        from airflow_ai_provider.core.quality.drift.report import SchemaChange

        there = self._reference(e).source.types
        change = SchemaChange.between(there, self._data.columns.types).as_dict()
        counted = {kind: change[kind] for kind in CHANGES if change[kind]}
        wrong = set(counted) - set(e.kwargs.get("allow", []))
        return _result(e, not wrong, counted or "no change", {"changed": counted})


def _drifted(
    e: Expectation, reference: Reference, measured: Mapping[str, Measured], problem: str | None
) -> ExpectationResult:
    details: dict[str, Any] = {
        "reference": reference.seen.path,
        "reference_digest": reference.seen.digest,
        "reference_rows": reference.seen.rows,
        "profile": reference.seen.profile,
    }
    if problem:
        return _result(e, False, None, {**details, "reason": problem})
    found = measured[e.kwargs.get("method", "psi")]
    measure = found.measure
    limit = e.kwargs.get("threshold")
    if limit is None:
        limit = measure.limits.get(e.severity, max(measure.limits.values()))
    details |= {"method": measure.name, "threshold": limit}
    if found.error:
        details["error"] = found.error
    if found.note:
        details["note"] = found.note
    if found.value is None:
        return _result(e, False, None, {**details, "reason": found.reason})
    return _result(e, not measure.beyond(found.value, float(limit)), found.value, details)


def _near(e: Expectation, rows: int, expected: float, details: dict[str, Any]) -> ExpectationResult:
    details = {**details, "expected": expected}
    if not expected:
        return _result(e, rows == 0, rows, {**details, "reason": "the reference has no rows"})
    ratio = rows / expected
    low, high = e.kwargs.get("min_ratio", 0.0), e.kwargs.get("max_ratio", float("inf"))
    return _result(e, low <= ratio <= high, rows, {**details, "ratio": ratio})


def _result(
    e: Expectation, success: bool, observed: Any, details: dict[str, Any]
) -> ExpectationResult:
    return ExpectationResult(
        expectation=e,
        success=bool(success),
        result={"observed_value": observed, "details": details},
    )
