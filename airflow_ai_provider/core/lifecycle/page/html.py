"""The sponsor's report as one page: nothing fetched or run, every word of the data escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from airflow_ai_provider.core.lifecycle.page.gantt import STYLE as GANTT_STYLE
from airflow_ai_provider.core.lifecycle.page.gantt import gantt
from airflow_ai_provider.core.lifecycle.page.trend import figure, look, trend
from airflow_ai_provider.core.quality.page.render import document

_GATES = 40  # of the newest
_CELLS = {"#": ' class="n"', "*": ' class="long"'}  # by the mark before a column's name
_LONG = 400  # characters of an observed value
WORDS = {"pass": "passed", "warn": "warned", "fail": "refused", "override": "overridden"}
STYLE = (
    GANTT_STYLE
    + """
ol.steps{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;margin:.8rem 0;padding:0}
ol.steps li{flex:1 1 9rem;background:var(--card);border:1px solid var(--rule);
border-radius:8px;padding:.5rem .8rem;border-top:3px solid var(--missing)}
ol.steps li.done{border-top-color:var(--good)}ol.steps li.current{border-top-color:var(--now)}
ol.steps b{display:block;text-transform:capitalize}
.tiles{display:flex;flex-wrap:wrap;gap:.5rem;margin:.8rem 0}
.tiles div{flex:1 1 9rem;background:var(--card);border:1px solid var(--rule);border-radius:8px;
padding:.6rem .8rem}.tiles b{display:block;font-size:1.25rem;line-height:1.3;white-space:nowrap}
h3{margin:1.1rem 0 .5rem}.wide+.wide,.card+.wide{margin-top:.6rem}
details summary{cursor:pointer;overflow-wrap:anywhere}details ul{margin:.4rem 0;padding-left:1.1rem}
@media(max-width:600px){body{padding:1rem .7rem 3rem}th,td{padding:.4rem .5rem}}
"""
)


def report_html(project: Mapping[str, Any]) -> str:
    """Return the page of a project as ``services.project_view.project`` gives it."""
    body = [
        *_head(project),
        *_section("Next decisions", _decisions(project["decisions"])),
        *_section("KPIs against their targets", _kpis(project["kpis"])),
        *_section("Plan and forecast", _plan(project["timeline"])),
        *_section("Gates, and why", _gates(project["gates"])),
        *_section("Models", _models(project["models"])),
        *_section("Money, people and GPU hours", _resources(project["resources"])),
        *_section("Risks", _risks(project["risks"])),
    ]
    return document(f"{project['title']}: report", body, style=STYLE)


def _head(project: Mapping[str, Any]) -> Iterator[str]:
    times = project["timeline"]
    yield f'<p class="kicker">AI project {escape(project["name"])}, {escape(times["today"])}</p>'
    yield (
        f'<div class="head"><h1>{escape(project["title"])}</h1>'
        f'<span class="badge override">{escape(project["phase"])}</span></div>'
    )
    if project.get("business_need"):
        yield f"<p>{escape(project['business_need'])}</p>"
    steps = "".join(
        f'<li class="{escape(p["state"])}"><b>{escape(p["name"])}</b>{escape(_phase(p))}</li>'
        for p in project["phases"]
    )
    yield f'<ol class="steps">{steps}</ol>'
    late = max((entry["days"] for entry in times["late"]), default=0.0)
    tiles = (
        (f"{100 * project['progress']:.0f} %", "of all milestones done"),
        (times["p50"] or "no plan", "expected end (50 %)"),
        (times["p90"] or "no plan", "end with 90 %"),
        (times["planned_finish"] or "no plan", "planned end"),
        (f"{late:g} days" if late else "on plan", "late, in working days"),
    )
    shown = "".join(f"<div><b>{escape(b)}</b>{escape(w)}</div>" for b, w in tiles)
    yield f'<div class="tiles">{shown}</div>'


def _phase(phase: Mapping[str, Any]) -> str:
    if phase["left_at"]:
        return f"left on {phase['left_at'][:10]}"
    gate = phase["gate"]
    if gate:
        return f"gate {WORDS.get(gate['verdict'], gate['verdict'])} on {gate['at'][:10]}"
    return {"current": "now", "done": "done"}.get(phase["state"], "not yet")


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> str:
    rows = [(d["what"], d["who"] or "", (d["since"] or "")[:10], d["why"] or "") for d in decisions]
    return _table(("*What", "Waited for", "Since", "*Why"), rows) or _faint(
        "Nothing is waited for."
    )


def _kpis(kpis: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for kpi in kpis:
        newest = kpi["points"][-1] if kpi["points"] else None
        value = _faint(f"not measured{f': {problem}' if (problem := kpi.get('problem')) else ''}")
        if newest:
            met = {None: "", True: " (met)", False: " (missed)"}[newest.get("met")]
            shown = escape(_short(figure(newest["value"])) + met)
            value = f'<span class="{look(newest)}">{shown}</span>'
        told = f"{kpi['from']}, {newest['at'][:10]}" if newest else ""
        rows.append(
            f'<tr><td class="code">{escape(kpi["name"])}</td><td>{escape(kpi["kind"])}</td>'
            f'<td class="long">{escape(kpi["target"])}</td><td>{value}</td>'
            f"<td>{trend(kpi['points'])}</td><td>{escape(told)}</td></tr>"
        )
    head = _header(("KPI", "Kind", "Target", "Now", "Over time", "From"))
    return (
        f'<div class="wide" tabindex="0"><table>{head}{"".join(rows)}</table></div>' if rows else ""
    )


def _plan(times: Mapping[str, Any]) -> str:
    if not times["milestones"]:
        return _faint("The project file has no milestones.")
    parts = [f'<div class="card">{gantt(times)}</div>']
    if times["unestimated"]:
        names = ", ".join(times["unestimated"])
        parts.append(_faint(f"Without an estimate, so that dates are the earliest: {names}."))
    rows = [
        (
            m["name"],
            m["person"] or m["owner"],
            m["state"],
            m["planned"]["p50"],
            m["forecast"]["p50"] if m["state"] != "done" else _finished(m),
            m["forecast"]["p90"] if m["state"] != "done" else "",
            f"{m['slack_days']:g}" if m["state"] != "done" else "",
        )
        for m in times["milestones"]
    ]
    head = ("Milestone", "Who", "State", "Planned", "Expected", "With 90 %", "#Slack, days")
    parts.append(_table(head, rows))
    if times["late"]:
        parts.append("<h3>What is late, and why</h3>")
        late = [(e["name"], f"{e['days']:g}", e["why"]) for e in times["late"]]
        parts.append(_table(("Milestone", "#Working days", "*Why"), late))
    return "".join(parts)


def _finished(milestone: Mapping[str, Any]) -> str:
    return str((milestone["actual"] or {}).get("finish") or "")


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    if not gates:
        return _faint("No gate has decided anything yet.")
    rows = []
    for gate in gates[:_GATES]:
        told = "".join(
            f"<li><b>{escape(str(c['name']))}</b> "
            f"({escape(WORDS.get(str(c['verdict']), str(c['verdict'])))}): "
            f"{escape(str(c['sentence']))} Limit {escape(_short(c['limit']))}, observed "
            f"{escape(_short(c['observed']))}.</li>"
            for c in gate["criteria"]
        )
        why = escape(gate["why"])
        why = f"<details><summary>{why}</summary><ul>{told}</ul></details>" if told else why
        verdict = WORDS.get(gate["verdict"], gate["verdict"])
        rows.append(
            f'<tr><td class="{escape(gate["verdict"])}">{escape(verdict)}</td>'
            f'<td class="code">{escape(gate["kind"])}<br>'
            f"<code>{escape(gate['subject'])}</code></td>"
            f'<td class="long">{why}</td><td>{escape(gate["by"])}</td>'
            f'<td class="n">{escape(gate["at"][:16].replace("T", " "))}</td></tr>'
        )
    head = _header(("Verdict", "Gate", "Why", "Decided by", "#When (UTC)"))
    more = ""
    if len(gates) > _GATES:
        more = _faint(f"The newest {_GATES}; the ledger has them all.")
    return f'<div class="wide" tabindex="0"><table>{head}{"".join(rows)}</table></div>{more}'


def _models(models: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            m["name"],
            m["title"] or "",
            "; ".join(
                f"{environment}: version {held['version']} since {held['since'][:10]}"
                for environment, held in m["environments"].items()
            )
            or "in no environment",
        )
        for m in models
    ]
    return _table(("Model", "*Question", "*Where"), rows)


def _resources(resources: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            r["phase"] or "no phase named",
            figure(r["people_days"]),
            figure(r["gpu_hours"]),
            f"{figure(r['gpu_hours_used'])}{' (over)' if r['over'] else ''}",
            str(r["money"] or ""),
            "not said" if r["money_spent"] is None else str(r["money_spent"]),
        )
        for r in resources
    ]
    head = ("Phase", "#People days, planned", "#GPU hours, planned", "#GPU hours, used",
            "Money, planned", "Money, spent")  # fmt: skip
    note = "GPU hours are those of whole devices under leases that the store still keeps (30 days)."
    return _table(head, rows) + _faint(note) if rows else _faint("The file names no budget.")


def _risks(risks: Sequence[Mapping[str, Any]]) -> str:
    if not risks:
        return _faint("The project file names no risk.")
    rows = []
    for risk in risks:
        fired = risk["fired"]
        state = "fired" if fired else "not fired" if risk["measured"] else "not measured"
        style = "fail" if fired else ""
        rows.append(
            f'<tr><td class="{style}">{state}</td><td class="code">{escape(risk["name"])}</td>'
            f'<td class="n">{risk["likelihood"]} x {risk["impact"]}</td>'
            f"<td>{escape(risk['owner'])}</td>"
            f'<td class="long">{escape(fired or risk["mitigation"])}</td></tr>'
        )
    head = _header(("State", "Risk", "#Likelihood x impact", "Owner", "What is done, or happened"))
    return f'<div class="wide" tabindex="0"><table>{head}{"".join(rows)}</table></div>'


def _section(title: str, content: str) -> Iterator[str]:
    yield f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_CELLS.get(name[:1], '')}>{escape(cell)}</td>"
            for name, cell in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide" tabindex="0"><table>{_header(names)}{body}</table></div>'


def _header(names: Sequence[str]) -> str:
    cells = (f'<th{_CELLS.get(n[:1], "")} scope="col">{escape(n.lstrip("#*"))}</th>' for n in names)
    return f"<tr>{''.join(cells)}</tr>"


def _faint(words: str) -> str:
    return f'<p class="faint">{escape(words)}</p>'


def _short(value: Any) -> str:
    words = figure(value)
    return words if len(words) <= _LONG else f"{words[: _LONG - 1]}…"
