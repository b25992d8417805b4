"""A project's KPIs over time, and the risks that fired because of them.

Where a KPI's value comes from is said by its ``measure`` in the project file (a criterion of a
gate, or a live metric, with bounds); without one, by what has the KPI's own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gate import GateRecord, Verdict, plain


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the measures of a project's KPIs need to know: gate subjects, models and metrics."""

    subjects: tuple[str, ...]
    models: tuple[str, ...]
    metrics: tuple[str, ...]


def wanted(plan: Mapping[str, Any]) -> Wanted:
    """Return what is to be read for the KPIs of ``plan``."""
    kpis = plan.get("kpis") or ()
    gates = [gate for kpi in kpis if (gate := _measure(kpi).get("gate"))]
    live = [feedback for kpi in kpis if (feedback := _measure(kpi).get("feedback"))]
    return Wanted(
        subjects=tuple(dict.fromkeys(str(gate["subject"]).rstrip("/") for gate in gates)),
        models=tuple(dict.fromkeys(str(figure["model"]) for figure in live)),
        metrics=tuple(
            dict.fromkeys([*(str(k["name"]) for k in kpis), *(str(f["metric"]) for f in live)])
        ),
    )


def kpis_of(
    plan: Mapping[str, Any],
    records: Sequence[GateRecord],
    metrics: Sequence[Mapping[str, Any]],
    given: Mapping[str, Sequence[Mapping[str, Any]]],
    problems: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return each KPI with its target and its values over time, oldest first.

    A value comes from the caller (``given``), else from live metrics, else from gate records:
    ``{"name", "kind", "target", "baseline", "source", "from", "problem", "points": [{"at",
    "value", "low", "high", "met", "of"}]}``. ``met`` is None where nothing says what would be
    good. Without any value ``from`` is None: it is not measured, which is not the same as bad.
    """
    found = []
    for kpi in plan.get("kpis") or ():
        sources = (
            ("the caller", [dict(point) for point in given.get(str(kpi["name"]), ())]),
            ("live metrics", list(_live(kpi, metrics))),
            ("gate records", list(_observed(kpi, records))),
        )
        source, points = next(((s, p) for s, p in sources if p), (None, []))
        shown = {k: kpi.get(k) for k in ("name", "kind", "target", "baseline", "source")}
        judged = [{**point, "met": _met(_measure(kpi), point)} for point in points]
        problem = None if points else (problems or {}).get(str(kpi["name"]))
        found.append({**shown, "from": source, "problem": problem, "points": judged})
    return found


def risks_of(
    plan: Mapping[str, Any],
    kpis: Sequence[Mapping[str, Any]],
    fired: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return the risks: those that fired first, then the heaviest.

    ``fired`` is the sentence that says what happened, None of one that did not; ``measured`` says
    whether anybody could look. A caller's word goes before a trigger.
    """
    newest = {k["name"]: k["points"][-1]["value"] for k in kpis if k["points"]}
    found = []
    for risk in plan.get("risks") or ():
        measured, told = _triggered(risk.get("trigger"), newest)
        found.append(
            {
                **{k: risk.get(k) for k in ("name", "likelihood", "impact", "owner", "mitigation")},
                "weight": risk["likelihood"] * risk["impact"],
                "measured": measured or fired is not None,
                "fired": (fired or {}).get(risk["name"]) or told,
            }
        )
    return sorted(found, key=lambda r: (r["fired"] is None, -r["weight"], r["name"]))


def _measure(kpi: Mapping[str, Any]) -> Mapping[str, Any]:
    return kpi.get("measure") or {}


def _live(kpi: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    measure = _measure(kpi)
    said = measure.get("feedback")
    if measure and not said:
        return
    model, name = (said["model"], said["metric"]) if said else (None, kpi["name"])
    for row in metrics:
        if (
            row["metric"] == name
            and model in (None, row["model_name"])
            and row["value"] is not None
        ):
            yield {
                "at": row["computed_at"].isoformat(),
                "value": row["value"],
                "low": row["low"],
                "high": row["high"],
                "of": f"{row['model_name']} {row['model_version']}, {row['partition']}",
            }


def _observed(kpi: Mapping[str, Any], records: Sequence[GateRecord]) -> Iterator[dict[str, Any]]:
    measure = _measure(kpi)
    said = measure.get("gate")
    if measure and not said:
        return
    subject = str(said["subject"]).rstrip("/") if said else None
    name = said["criterion"] if said else kpi["name"]
    for record in reversed(records):
        if subject is not None and not f"{record.subject}/".startswith(f"{subject}/"):
            continue
        for criterion in record.criteria:
            if criterion.get("name") == name:
                yield {
                    "at": record.created_at,
                    "value": plain(criterion.get("observed")),
                    "met": Verdict(criterion["verdict"]).lets_pass,
                    "of": record.subject,
                }


def _met(measure: Mapping[str, Any], point: Mapping[str, Any]) -> bool | None:
    """Return whether the bounds of the measure are kept, else what the gate said, if one did."""
    low, high, value = measure.get("at_least"), measure.get("at_most"), point.get("value")
    if (low is None and high is None) or not _is_number(value):
        return point.get("met")
    return (low is None or value >= low) and (high is None or value <= high)


def _triggered(
    trigger: Mapping[str, Any] | None, newest: Mapping[str, Any]
) -> tuple[bool, str | None]:
    """Return whether a trigger could be looked at, and the sentence about it when it fired."""
    value = newest.get(str(trigger["kpi"])) if trigger else None
    if trigger is None or not _is_number(value):
        return False, None
    above, below = trigger.get("above"), trigger.get("below")
    if above is not None and value > above:
        return True, f"{trigger['kpi']} is {value:g}, above {above:g}."
    if below is not None and value < below:
        return True, f"{trigger['kpi']} is {value:g}, below {below:g}."
    return True, None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
