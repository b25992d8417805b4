"""Measure what was said of an application's answers: the assessments that the evidence sums up."""

from __future__ import annotations

import math

from airflow_ai_provider.core.promotion.assessments import AssessmentSummary, read_summary
from airflow_ai_provider.core.promotion.case import Case, Finding
from airflow_ai_provider.core.promotion.criteria import ModelCriterion
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.on_rows import asked, within

_WHO = {"person": "people", "judge": "judges", "code": "checks"}
_SCORES = (1.0, 5.0)


def assessment(criterion: ModelCriterion, case: Case) -> Finding:
    """What people, judges or checks said of the answers keeps its limit."""
    name, by = criterion["assessment"], criterion["by"]
    said = _said(case, name, by)
    found = opinions_on_traces(case, name, by, at_least=criterion["min_answers"])
    low, high = found.mean - found.margin, found.mean + found.margin
    value = found.mean
    if criterion["bound"] == "outer":
        value = low if "min" in criterion.options else high
    if not math.isfinite(value):
        raise NotMeasurableError("one answer has no interval")
    which = "mean" if criterion["bound"] == "mean" else "outer end"
    return Finding(
        observed=value,
        met=within(criterion, value),
        sentence=f"{_WHO[by].capitalize()} give {name} {found.mean:.4g} [{low:.4g}, {high:.4g}] "
        f"on {found.answers:,} traces{_left_out(said)}; of the {which}, {asked(criterion)}",
    )


def people_on_traces(criterion: ModelCriterion, case: Case) -> Opinions:
    """Return people's scores from 1 to 5 on the traces, for a criterion ``human_score``.

    :raises NotMeasurableError: there are too few, or some are on another scale.
    """
    name = criterion["assessment"]
    found = opinions_on_traces(case, name, "person", at_least=criterion["min_answers"])
    said = _said(case, name, "person")
    low, high = said.low or 0.0, said.high or 0.0
    if said.unusable or not _SCORES[0] <= low <= high <= _SCORES[1]:
        raise NotMeasurableError(
            f"not all of people's assessments {name!r} are scores from 1 to 5 "
            f"({low:g} to {high:g}, {said.unusable} are no number)"
        )
    return found


def opinions_on_traces(case: Case, name: str, by: str, *, at_least: float) -> Opinions:
    """Return the mean of the assessments ``name``; an answer is a trace that has some.

    :raises NotMeasurableError: nobody collected them, or there are too few.
    """
    said = _said(case, name, by)
    if said.traces < at_least:
        raise NotMeasurableError(
            f"{said.traces} traces have an assessment {name!r} by {_WHO[by]}, "
            f"at least {at_least:g} are needed"
        )
    return Opinions(answers=said.traces, mean=said.mean or 0.0, deviation=said.deviation or 0.0)


def _said(case: Case, name: str, by: str) -> AssessmentSummary:
    kept = case.evidence.assessments
    if not kept:
        raise NotMeasurableError(
            "the evidence has no assessments on traces (TraceEvidenceOperator collects them)"
        )
    named = [found for found in map(read_summary, kept.get("found") or ()) if found.by == by]
    for found in named:
        if found.name == name and found.traces:
            return found
    others = ", ".join(sorted(found.name for found in named)) or "none"
    raise NotMeasurableError(
        f"none of {kept.get('traces', 0)} traces has an assessment {name!r} with a value by "
        f"{_WHO[by]} (there are: {others})"
    )


def _left_out(said: AssessmentSummary) -> str:
    return f" ({said.unusable:,} answers are no number)" if said.unusable else ""
