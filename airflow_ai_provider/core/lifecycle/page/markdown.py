"""The sponsor's report as Markdown: short enough for a message, with nothing to act on in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.lifecycle.page.html import WORDS
from airflow_ai_provider.core.lifecycle.page.trend import figure
from airflow_ai_provider.core.lifecycle.shown import plain_text

_GATES = 10


def report_markdown(project: Mapping[str, Any]) -> str:
    """Return the report of a project as ``services.project_view.project`` gives it."""
    times = project["timeline"]
    lines = [
        f"# {plain_text(project['title'])}",
        "",
        f"Phase **{plain_text(project['phase'])}**, {100 * project['progress']:.0f} % of all "
        f"milestones done, on {times['today']}.",
    ]
    if times["p50"]:
        lines.append(
            f"Expected to end by **{times['p50']}**, with 90 % by {times['p90']}; planned was "
            f"{times['planned_finish']}."
        )
    lines += _part("Next decisions", _items(map(_decision, project["decisions"])))
    lines += _part("KPIs", _table(("KPI", "Target", "Now"), map(_kpi, project["kpis"])))
    lines += _part(
        "Plan",
        _table(
            ("Milestone", "Who", "State", "Planned", "Expected", "90 %"),
            map(_milestone, times["milestones"]),
        ),
    )
    lines += _part(
        "Late, and why",
        _items(f"{plain_text(e['name'])}, {e['days']:g} working days: {plain_text(e['why'])}"
               for e in times["late"]),
    )  # fmt: skip
    lines += _part("Gates", _items(map(_gate, project["gates"][:_GATES])))
    lines += _part("Models", _items(map(_model, project["models"])))
    lines += _part(
        "Resources",
        _table(
            ("Phase", "GPU hours, planned", "Used", "Money, planned", "Spent"),
            map(_resource, project["resources"]),
        ),
    )
    lines += _part(
        "Risks that fired",
        _items(f"{plain_text(r['name'])}: {plain_text(r['fired'])}"
               for r in project["risks"] if r["fired"]),
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _part(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def _items(sentences: Any) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]


def _table(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> list[str]:
    body = [f"| {' | '.join(plain_text(str(cell)) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *body] if body else []


def _decision(decision: Mapping[str, Any]) -> str:
    who = f", by {plain_text(str(decision['who']))}" if decision["who"] else ""
    why = f": {plain_text(str(decision['why']))}" if decision["why"] else ""
    return f"{plain_text(decision['what'])}{who}{why}"


def _kpi(kpi: Mapping[str, Any]) -> tuple[str, str, str]:
    now = figure(kpi["points"][-1]["value"]) if kpi["points"] else "not measured"
    return kpi["name"], kpi["target"], now


def _milestone(row: Mapping[str, Any]) -> tuple[str, ...]:
    done = row["state"] == "done"
    expected = (row["actual"] or {}).get("finish") if done else row["forecast"]["p50"]
    later = "" if done else row["forecast"]["p90"]
    who = row["person"] or row["owner"]
    return row["name"], who, row["state"], row["planned"]["p50"], expected or "", later


def _gate(gate: Mapping[str, Any]) -> str:
    verdict = WORDS.get(gate["verdict"], gate["verdict"])
    return (
        f"{gate['at'][:10]} {plain_text(gate['kind'])} {plain_text(gate['subject'])}: "
        f"**{plain_text(verdict)}**. {plain_text(gate['why'])}"
    )


def _model(model: Mapping[str, Any]) -> str:
    held = ", ".join(
        f"version {plain_text(str(h['version']))} in {plain_text(environment)}"
        for environment, h in model["environments"].items()
    )
    return f"{plain_text(model['name'])}: {held or 'in no environment'}"


def _resource(row: Mapping[str, Any]) -> tuple[str, ...]:
    spent = "not said" if row["money_spent"] is None else str(row["money_spent"])
    used = f"{figure(row['gpu_hours_used'])}{' (over)' if row['over'] else ''}"
    return row["phase"] or "none", figure(row["gpu_hours"]), used, str(row["money"] or ""), spent
