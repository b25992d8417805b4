"""``report.html``: what happened, on one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.demo.facts import Facts, LiveMonth
from airflow_ai_provider.demo.style import STYLE
from airflow_ai_provider.demo.svg import Bar, Point, Series, chart, lanes
from airflow_ai_provider.demo.table import phase, why

_CALM = (-0.02, 0.02)
_NOTES = (
    "The flights, their delays and the weather are real: New York's departures of 2013.",
    "The criteria and limits were chosen with the whole year known; on a live project you would "
    "have to choose them before.",
    "What the forms and approvals say was typed by the demo's people, a program, and is labelled "
    "so. It stays out of the gates' measurements. No human scores exist in this data, and none "
    "were invented.",
    "The devices are static ones, shown as cpu:0 and cpu:1: slots on this machine's processor.",
)


def write_report(facts: Facts, path: Path) -> None:
    """Write the page to ``path``, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(page(facts), encoding="utf-8")


def page(facts: Facts) -> str:
    """Return the whole page."""
    sections = [
        ("What to know", _list(_NOTES)),
        ("Runs", _runs(facts)),
        ("Live quality by month", _live(facts.live)),
        ("Which version stood where", _versions(facts)),
        ("Gates", _gates(facts.records)),
        ("Leases", _leases(facts)),
        ("What the demo's people answered", _answers(facts)),
    ]
    body = "".join(f"<section><h2>{escape(h)}</h2>{text}</section>" for h, text in sections)
    refused = sum(record.verdict == "fail" for record in facts.records)
    head = (
        f"{len(facts.runs)} runs, {len(facts.records)} gate records, {refused} refusals, "
        f"{len(facts.leases)} leases, in {(facts.ended - facts.began).total_seconds():.0f} s on "
        f"{facts.began:%Y-%m-%d}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>A project's life</title><style>{STYLE}</style></head><body>"
        f"<h1>A project's life: late flights</h1><p>{escape(head)}.</p>{body}</body></html>\n"
    )


def _runs(facts: Facts) -> str:
    dags: dict[str, list[Bar]] = {}
    for run in sorted(facts.runs, key=lambda r: r.began):
        cause = "caused by an asset" if run.by_asset else "triggered over the API"
        bar = _bar(facts, run.began, run.ended, run.state, f"{run.run_id}: {run.state}, {cause}")
        dags.setdefault(run.dag_id, []).append(bar)
    return _lanes(facts, list(dags.items()), "Runs of each DAG over time") + _p(
        "A failed run is one whose gate refused."
    )


def _live(live: Sequence[LiveMonth]) -> str:
    if not live:
        return _p("No month was measured.")
    months = sorted({each.month for each in live})
    gaps = [
        _series(live, months, (model, version), "gap", f"look{number % 4}")
        for number, (model, version) in enumerate(_models(live))
    ]
    rates = [
        _series(live, months, (model, version), metric, f"look{number % 4} {metric}")
        for number, (model, version) in enumerate(_models(live))
        for metric in ("observed", "predicted")
    ]
    return (
        _p(
            "Observed minus predicted rate of late arrivals, with the 95 % interval that resamples "
            "whole days. The retrain policy's band is shaded."
        )
        + chart(gaps, places=months, title="Live calibration gap", unit="gap", band=_CALM)
        + chart(rates, places=months, title="Observed and predicted rate", unit="rate")
        + _live_table(live)
    )


def _models(live: Sequence[LiveMonth]) -> list[tuple[str, str]]:
    return sorted({(each.model, each.version) for each in live})


def _series(
    live: Sequence[LiveMonth], months: list[str], who: tuple[str, str], metric: str, look: str
) -> Series:
    points = []
    for each in live:
        if (each.model, each.version) == who and (figure := each.figures.get(metric)):
            value, low, high = figure
            title = f"{each.month}, version {each.version}: {metric} {value:.4f}, n {each.n}"
            place = months.index(each.month)
            points.append(Point(x=place, value=value, low=low, high=high, title=title))
    points.sort(key=lambda point: point.x)
    name = f"version {who[1]}" if metric == "gap" else f"version {who[1]}, {metric}"
    return Series(name=name, look=look, points=points)


def _live_table(live: Sequence[LiveMonth]) -> str:
    metrics = sorted({name for each in live for name in each.figures})
    rows = [
        [
            each.month,
            each.model,
            each.version,
            str(each.n),
            *(_figure(each.value(metric)) for metric in metrics),
        ]
        for each in sorted(live, key=lambda e: (e.month, e.model, e.version))
    ]
    return _table(["month", "model", "version", "n", *metrics], rows)


def _versions(facts: Facts) -> str:
    if not facts.tenures:
        return _p("No model was promoted.")
    rows: dict[str, list[Bar]] = {}
    for tenure in facts.tenures:
        until = tenure.until or facts.ended
        look = "production" if tenure.environment == "production" else "elsewhere"
        title = f"{tenure.model} version {tenure.version} in {tenure.environment}: {tenure.why}"
        bar = _bar(facts, tenure.since, until, look, title, f"v{tenure.version}")
        rows.setdefault(f"{tenure.model}@{tenure.environment}", []).append(bar)
    table = [
        [t.model, t.environment, t.version, _clock(t.since), _clock(t.until), t.why]
        for t in facts.tenures
    ]
    header = ["model", "environment", "version", "since", "until", "why"]
    return _lanes(facts, list(rows.items()), "Versions by environment") + _table(header, table)


def _gates(records: Iterable[GateRecord]) -> str:
    rows = []
    for record in records:
        origin = f"{record.dag_id} / {record.task_id} / try {record.try_number}"
        rows.append(
            f'<tr class="{escape(record.verdict)}"><td>{escape(_clock(_moment(record)))}</td>'
            f"<td>{escape(phase(record))}</td>"
            f"<td>{escape(record.kind)}<br><code>{escape(record.subject)}</code></td>"
            f"<td><b>{escape(record.verdict)}</b></td><td>{_reasons(record)}</td>"
            f"<td>{escape(record.decided_by)}<br><small>{escape(origin)}</small></td></tr>"
        )
    head = _header(["when", "phase", "gate", "verdict", "why", "decided by"])
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _reasons(record: GateRecord) -> str:
    lines = [
        f'<li class="{escape(str(c["verdict"]))}"><b>{escape(str(c["name"]))}</b>: '
        f"{escape(str(c['sentence']))} <small>limit {escape(_short(c['limit']))}, observed "
        f"{escape(_short(c['observed']))}</small></li>"
        for c in record.criteria
    ]
    summary = escape(why(record))
    if not lines:
        return summary
    return f"<details><summary>{summary}</summary><ul>{''.join(lines)}</ul></details>"


def _leases(facts: Facts) -> str:
    if not facts.leases:
        return _p("No device was leased.")
    devices: dict[str, list[Bar]] = {}
    for use in facts.leases:
        title = f"{use.task}, lease {use.lease}: {use.state}"
        bar = _bar(facts, use.began, use.ended or facts.ended, "lease", title, use.task)
        devices.setdefault(use.device, []).append(bar)
    seconds = max((facts.ended - facts.began).total_seconds(), 1.0)
    rows = [
        [device, str(len(bars)), f"{(busy := sum(b.ended - b.began for b in bars)):.1f} s",
         f"{100 * busy / seconds:.0f} %"]
        for device, bars in sorted(devices.items())
    ]  # fmt: skip
    return _lanes(facts, sorted(devices.items()), "Leases of each device over time") + _table(
        ["device", "leases", "leased for", "of the life"], rows
    )


def _answers(facts: Facts) -> str:
    rows = [
        [a.user, f"{a.dag_id}.{a.task_id}", ", ".join(a.options), _short(a.values)]
        for a in facts.answers
    ]
    return _table(["user", "task", "answer", "fields"], rows)


def _bar(
    facts: Facts, began: datetime, ended: datetime, look: str, title: str, label: str = ""
) -> Bar:
    start = (began - facts.began).total_seconds()
    seconds = (ended - began).total_seconds()
    title = f"{title}; from {start:.1f} s, for {seconds:.1f} s"
    return Bar(began=start, ended=start + seconds, look=look, title=title, label=label)


def _lanes(facts: Facts, rows: Sequence[tuple[str, Sequence[Bar]]], title: str) -> str:
    return lanes(rows, seconds=(facts.ended - facts.began).total_seconds(), title=title)


def _moment(record: GateRecord) -> datetime:
    return datetime.fromisoformat(record.created_at)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%H:%M:%S}" if moment else "still there"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = (
        value
        if isinstance(value, str)
        else json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)
    )
    return text if len(text) <= 300 else text[:299] + "…"


def _p(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _header(names: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table>{_header(header)}{body}</table></div>'
