"""Measure what the store knows: people's scores, live metrics, shadow answers, feedback, models."""

from __future__ import annotations

import math

from airflow_ai_provider.core.promotion.case import Case, Finding
from airflow_ai_provider.core.promotion.criteria import ModelCriterion
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.on_rows import asked, difference, first_model, within
from airflow_ai_provider.core.promotion.on_traces import people_on_traces


def human_score(criterion: ModelCriterion, case: Case) -> Finding:
    """People like the answers: the mean opinion score, or the lower end of its 95 % interval."""
    found, about = _opinions(criterion, case)
    low, high = found.mean - found.margin, found.mean + found.margin
    value = low if criterion["bound"] == "lower" else found.mean
    if not math.isfinite(value):
        raise NotMeasurableError("one answer has no interval")
    name = "lower end" if criterion["bound"] == "lower" else "mean"
    return Finding(
        observed=value,
        met=value >= criterion.limit,
        sentence=f"People score {about} with {found.mean:.2f} of 5 "
        f"[{low:.2f}, {high:.2f}] in {found.answers:,} answers; of the {name}, {asked(criterion)}",
    )


def _opinions(criterion: ModelCriterion, case: Case) -> tuple[Opinions, str]:
    """Return people's scores, from feedback or from traces, and what they are of."""
    if criterion["source"] == "traces":
        version = case.evidence.version
        return people_on_traces(criterion, case), f"version {version}" if version else "the answers"
    life, version = case.lived
    found = life.opinions(case.evidence.model_name, version)
    if found.answers < criterion["min_answers"]:
        raise NotMeasurableError(
            f"{found.answers} people's answers are there, at least "
            f"{criterion['min_answers']:g} are needed"
        )
    return found, f"version {version}"


def live_metric(criterion: ModelCriterion, case: Case) -> Finding:
    """A metric of the version's live answers keeps its limit in the newest partition."""
    life, version = case.lived
    found = life.live_metric(case.evidence.model_name, version, criterion["metric"])
    if found.rows < criterion["min_rows"]:
        raise NotMeasurableError(
            f"{found.rows:,} outcomes came in for {found.partition}, at least "
            f"{criterion['min_rows']:g} are needed"
        )
    value = abs(found.value) if criterion["metric"] == "gap" else found.value
    return Finding(
        observed=value,
        met=within(criterion, value),
        sentence=f"Live, {criterion['metric']} of version {version} is {value:.4g} on "
        f"{found.rows:,} outcomes of {found.partition}; " + asked(criterion),
    )


def shadow(criterion: ModelCriterion, case: Case) -> Finding:
    """On the same feedback the challenger is better than the champion beside which it answered."""
    life, version = case.lived
    champion = life.champion(case.evidence.model_name)
    if champion is None:
        return first_model(criterion, "no champion answers")
    if champion == version:
        raise NotMeasurableError(f"version {version} is the champion itself")
    rows = life.shadow(case.evidence.model_name, version, champion)
    if len(rows.label) < criterion["min_rows"]:
        raise NotMeasurableError(
            f"{len(rows.label):,} rows were answered by both and have an outcome, at least "
            f"{criterion['min_rows']:g} are needed"
        )
    if rows.reference is None:
        raise NotMeasurableError(f"version {champion} answered none of them")
    name = f"the champion (version {champion}) on the same {len(rows.label):,} live rows"
    return difference(criterion, rows, rows.reference, name, "days")


def feedback_loop(criterion: ModelCriterion, case: Case) -> Finding:
    """What really happened comes back: feedback on the model came in lately."""
    if case.life is None:
        raise NotMeasurableError("no store was given to ask")
    count = case.life.feedback(case.evidence.model_name, criterion["days"])
    return Finding(
        observed=count,
        met=count >= criterion.limit,
        sentence=f"{count:,} records of feedback came in during the last "
        f"{criterion['days']:g} days; " + asked(criterion),
    )


def live_models(criterion: ModelCriterion, case: Case) -> Finding:
    """With this one, no more models are live than can be looked after."""
    if case.life is None:
        raise NotMeasurableError("no store was given to ask")
    live = sorted({*case.life.live_models(case.project), case.evidence.model_name})
    return Finding(
        observed=len(live),
        met=len(live) <= criterion.limit,
        sentence=f"With this one, {len(live)} models are live ({', '.join(live)}); "
        + asked(criterion),
    )
