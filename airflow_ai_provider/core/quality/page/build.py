"""From what a gate decided to the page about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.quality.page.known import known_picture
from airflow_ai_provider.core.quality.page.pictures import (
    Gauge,
    Picture,
    shares_of,
    shown,
    shows_values,
)
from airflow_ai_provider.core.quality.page.values import Finding, ReportPage
from airflow_ai_provider.core.quality.values import json_safe

if TYPE_CHECKING:
    from airflow_ai_provider.core.gate import GateRecord, Verdict
    from airflow_ai_provider.core.quality.drift.compare import ColumnDrift
    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.core.quality.report import ExpectationResult
    from airflow_ai_provider.core.quality.result import DataSeen, QualityResult

_SAMPLES = 8
_ABOUT = ("column", "column_A", "column_B", "column_list")
_WORDS = {
    "path": "Data",
    "rows": "Rows",
    "size": "Bytes",
    "files": "Files",
    "digest": "SHA-256",
    "version": "Version",
    "modified": "Last written",
    "looked_at": "Looked at",
    "snapshot": "Snapshot",
    "query_digest": "SHA-256 of the query",
}

_NO_ROWS = Finding(
    label="rows",
    severity="critical",
    verdict="fail",
    sentence="The data have no rows: no expectation could look at any.",
    picture=Gauge(value=0.0, low=1.0),
)

Fact = tuple[str, str]


def quality_page(
    result: QualityResult, *, verdict: Verdict | None = None, values: bool = True
) -> ReportPage:
    """Return the page about a data gate; without ``values`` no value of a row is on it."""
    return ReportPage(
        title="Data gate",
        subject=result.subject,
        verdict=(verdict or result.verdict).value,
        facts=tuple(_quality_facts(result)),
        findings=(
            *([_NO_ROWS] if result.saw_nothing else []),
            *(_expectation(r, result, values=values) for r in result.report.results),
        ),
        notes=() if values else ("Values of rows are not kept, as this gate was told.",),
    )


def drift_page(
    result: DriftResult, *, verdict: Verdict | None = None, values: bool = True
) -> ReportPage:
    """Return the page about a drift gate; without ``values`` no category's name is on it."""
    return ReportPage(
        title="Drift gate",
        subject=result.subject,
        verdict=(verdict or result.verdict).value,
        facts=tuple(_drift_facts(result)),
        findings=tuple(_column(c, result, values=values) for c in result.columns),
        notes=() if values else ("Names of categories are not kept, as this gate was told.",),
    )


def record_page(record: GateRecord) -> ReportPage:
    """Return what a gate record alone tells: for one whose report was not kept."""
    data = record.evidence.get("data")
    return ReportPage(
        title=f"{record.kind.capitalize()} gate",
        subject=record.subject,
        verdict=record.verdict,
        facts=tuple(_seen(data)) if isinstance(data, Mapping) else (),
        findings=tuple(
            Finding(
                label=shown(c["name"], 200),
                about="",
                severity="",
                verdict=str(c["verdict"]),
                sentence=shown(c["sentence"], 400),
                expected=_short(c.get("limit")),
            )
            for c in record.criteria
        ),
        notes=("The full report of this decision was not kept; this is its gate record.",),
    )


def _quality_facts(result: QualityResult) -> Iterator[Fact]:
    yield from _seen(result.data)
    suite = result.report.suite
    yield "Suite", f"{shown(suite.name)}, {len(suite.expectations)} expectations"
    yield "Measured by", result.report.engine.replace("_", " ")
    yield "Refuses from", result.fail_on.value
    for name, kept in (("Quarantined", result.quarantine), ("Good rows", result.good_rows)):
        if kept:
            yield name, f"{kept.rows} rows in {shown(kept.path, 300)}"


def _drift_facts(result: DriftResult) -> Iterator[Fact]:
    yield from _seen(result.data)
    kind = "profile" if result.reference.profile else "data"
    yield "Reference", f"{kind} {shown(result.reference.path, 300)}, {result.reference.rows} rows"
    if result.reference.digest:  # a table has none
        yield "SHA-256 of the reference", result.reference.digest
    yield "Refuses from", result.fail_on.value
    change = result.schema.as_dict()
    for name in ("added", "removed", "retyped"):
        if change[name]:
            yield f"Columns {name}", ", ".join(shown(c) for c in list(change[name])[:20])


def _seen(data: DataSeen | Mapping[str, Any]) -> Iterator[Fact]:
    told = data if isinstance(data, Mapping) else vars(data)
    for name, words in _WORDS.items():
        value = told.get(name)
        if value is None or (name == "files" and value == 1):
            continue
        yield words, f"{value:,}" if isinstance(value, int) else shown(value, 300)


def _expectation(r: ExpectationResult, of: QualityResult, *, values: bool) -> Finding:
    e, verdict = r.expectation, "pass"
    if not r.success:
        verdict = "fail" if e.severity.rank >= of.fail_on.rank else "warn"
    arguments = {k: v for k, v in e.kwargs.items() if k not in _ABOUT}
    picture: Picture | None = None
    if not r.success:
        picture = r.picture if r.picture and (values or not shows_values(r.picture)) else None
        picture = picture or known_picture(e.type, e.kwargs, r.result, values=values)
    reason = f": {r.reason}" if r.reason else ""
    return Finding(
        label=e.type,
        about=", ".join(shown(c) for c in e.columns),
        severity=e.severity.value,
        verdict=verdict,
        sentence=shown(r.sentence(), 400),
        expected=_short(arguments) if arguments else "",
        unexpected=r.result.get("unexpected_count"),
        percent=r.result.get("unexpected_percent"),
        engine=shown(f"{r.engine.replace('_', ' ')}{reason}", 200),
        samples=tuple(_samples(r.result)) if values and not r.success else (),
        picture=picture,
    )


def _samples(result: Mapping[str, Any]) -> Iterator[str]:
    for entry in (result.get("partial_unexpected_counts") or [])[:_SAMPLES]:
        if isinstance(entry, Mapping) and entry.get("value") is not None:
            value, count = entry["value"], entry.get("count", 1)
            words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield shown(words) + (f" ×{count}" if count > 1 else "")  # noqa: RUF001 - times


def _column(c: ColumnDrift, of: DriftResult, *, values: bool) -> Finding:
    severity = c.severity
    sentences = c.sentences() or [m.sentence() for m in c.measured]
    limited = [m for m in c.measured if m.limits]
    limits = {m.measure.name: {s.value: v for s, v in m.limits.items()} for m in limited}
    picture = shares_of(c)
    if picture and not values and shows_values(picture):
        picture = None
    return Finding(
        label=shown(c.column),
        about=c.kind.value if c.kind else "",
        severity=severity.value if severity else "",
        verdict=of.judged(severity).value,
        sentence=shown(" ".join(sentences), 600),
        expected=_short(limits) if limits else "",
        picture=picture if severity else None,
    )


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return shown(", ".join(f"{k} {_short(v)}" for k, v in value.items()), 240)
    words = value if isinstance(value, str) else json.dumps(json_safe(value), ensure_ascii=False)
    return shown("" if value is None else words, 240)
