"""What a gate's look at data means in OpenLineage's words, without its library.

Data sets are named as OpenLineage's naming rules say, so that the gate's facts meet what other
tools know of the same data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.core.quality.report import ExpectationResult
    from airflow_ai_provider.core.quality.result import DataSeen, QualityResult

_PORTS = {"postgres": 5432, "mysql": 3306, "mssql": 1433, "redshift": 5439, "oracle": 1521}
_DATABASES = {"postgresql": "postgres", "mariadb": "mysql", "sqlserver": "mssql"}
_FIGURES = {
    "expect_column_max_to_be_between": "max",
    "expect_column_min_to_be_between": "min",
    "expect_column_sum_to_be_between": "sum",
    "expect_column_unique_value_count_to_be_between": "distinctCount",
}


@dataclass(frozen=True, kw_only=True)
class Asserted:
    """One thing that was held to be so of the data, and whether it was."""

    assertion: str
    success: bool
    column: str | None = None
    severity: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """The data that a gate looked at, and what it found; no value of a row is in it.

    ``columns`` are figures by column, under OpenLineage's names (``nullCount``, ``min``, ...).
    """

    namespace: str
    name: str
    rows: int
    size: int | None = None
    files: int | None = None
    modified: str | None = None
    asserted: tuple[Asserted, ...] = ()
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


_NO_ROWS = Asserted(
    assertion="rows", success=False, severity="error", expected="min_value=1", actual="0"
)


def of_quality(result: QualityResult) -> LookedAt | None:
    """Return what a data gate saw; None of a frame that belongs to no data set."""
    place = named(result.data, result.dataset, result.partition)
    if place is None:
        return None
    return LookedAt(
        namespace=place[0],
        name=place[1],
        asserted=(
            *([_NO_ROWS] if result.saw_nothing else []),
            *(_asserted(r) for r in result.report.results),
        ),
        columns=_columns(result.report.results),
        **_measures(result.data),
    )


def of_drift(result: DriftResult) -> LookedAt | None:
    """Return what a drift gate saw."""
    place = named(result.data, result.dataset, result.partition)
    if place is None:
        return None
    asserted = (
        Asserted(
            assertion=m.measure.name,
            success=m.severity is None,
            column=c.column,
            severity=_level(m.severity.value) if m.severity else None,
            expected=None if m.limit is None else f"{m.limit:g}",
            actual=None if m.value is None else f"{m.value:.6g}",
        )
        for c in result.columns
        for m in c.measured
    )
    gone = (
        Asserted(assertion="comparable", success=False, column=c.column, severity="error")
        for c in result.columns
        if c.problem
    )
    rows = result.data.rows
    columns = {
        c.column: {"nullCount": round(c.missing_now * rows)}
        for c in result.columns
        if c.missing_now is not None
    }
    return LookedAt(
        namespace=place[0],
        name=place[1],
        asserted=(*asserted, *gone),
        columns=columns,
        **_measures(result.data),
    )


def named(data: DataSeen, dataset: str | None, partition: str | None) -> tuple[str, str] | None:
    """Return the namespace and the name of ``data``; a frame is known by its data set alone."""
    if data.kind == "frame":
        return ("ai-data", f"{dataset}/{partition}" if partition else dataset) if dataset else None
    parts = urlsplit(data.path)
    if data.kind in {"table", "query"}:
        return _of_database(parts.scheme, parts.netloc, parts.path, parts.query)
    return named_files(data.path)


def named_files(path: str) -> tuple[str, str]:
    """Return the namespace and the name of the file, glob or folder at ``path``."""
    if "://" not in path:
        return "file", str(Path(path).absolute())
    parts = urlsplit(path)
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    bucket = parts.netloc.rpartition("@")[2]  # what is before it is a connection's id
    return f"{parts.scheme}://{bucket}", parts.path.lstrip("/") or "/"


def _of_database(scheme: str, netloc: str, path: str, query: str) -> tuple[str, str]:
    kind = _DATABASES.get(scheme, scheme)
    where, _, last = path.lstrip("/").rpartition("/")
    if query:  # the result of a query has no name but its digest's
        where, last = path.lstrip("/"), query.replace("=", "-")
    if kind == "sqlite":
        return "file", f"/{where.lstrip('/')}/{last}"
    if kind == "postgres" and "." not in last and not query:
        last = f"public.{last}"
    host = netloc.rpartition("@")[2]
    if ":" not in host and kind in _PORTS:
        host = f"{host or 'localhost'}:{_PORTS[kind]}"
    return f"{kind}://{host}", ".".join(part for part in (where, last) if part)


def _measures(data: DataSeen) -> dict[str, Any]:
    of_files = data.kind == "files"
    return {
        "rows": data.rows,
        "size": data.size,
        "files": data.files if of_files else None,
        "modified": data.modified,
    }


def _asserted(r: ExpectationResult) -> Asserted:
    e = r.expectation
    limits = {k: v for k, v in e.kwargs.items() if k in {"min_value", "max_value", "mostly"}}
    count, observed = r.result.get("unexpected_count"), r.result.get("observed_value")
    actual = None if count is None else f"{count} unexpected"
    if actual is None and isinstance(observed, (int, float)):
        actual = f"{observed:g}"
    return Asserted(
        assertion=e.type,
        success=r.success,
        column=e.columns[0] if len(e.columns) == 1 else None,
        severity=_level(e.severity.value),
        expected=", ".join(f"{k}={v}" for k, v in limits.items()) or None,
        actual=actual,
    )


def _columns(results: tuple[ExpectationResult, ...]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for column, name, value in _figures(results):
        found.setdefault(column, {})[name] = value
    return found


def _figures(results: tuple[ExpectationResult, ...]) -> Iterator[tuple[str, str, float]]:
    """Yield what is known of whole columns: a figure of some of the rows says nothing of them."""
    for r in results:
        e, seen = r.expectation, r.result
        if e.kwargs.get("row_condition") or "column" not in e.kwargs:
            continue
        column = str(e.kwargs["column"])
        if e.type == "expect_column_values_to_not_be_null":
            yield from _number(column, "nullCount", seen.get("unexpected_count"))
        elif e.type != "expect_column_values_to_be_null":
            yield from _number(column, "nullCount", seen.get("missing_count"), seen)
        if e.type in _FIGURES:
            yield from _number(column, _FIGURES[e.type], seen.get("observed_value"))


def _number(
    column: str, name: str, value: Any, seen: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, str, float]]:
    if seen is not None and "element_count" not in seen:
        return  # missing members of a set, not missing rows
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:  # noqa: PLR0124 - NaN
        yield column, name, value


def _level(severity: str) -> str:
    return {"critical": "error", "warning": "warn"}.get(severity, severity)
