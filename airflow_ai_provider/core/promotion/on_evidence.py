"""Measure what the evidence says besides the rows: costs, the run, where the data is from."""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.promotion.case import Case, Finding
from airflow_ai_provider.core.promotion.criteria import ModelCriterion, what
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.on_rows import asked, within


def reported(criterion: ModelCriterion, case: Case) -> Finding:
    """A figure that the training run logged keeps its limit."""
    figure = criterion["figure"]
    figures = case.evidence.run.get("metrics") or {}
    if figure not in figures:
        known = ", ".join(sorted(map(str, figures))) or "none"
        raise NotMeasurableError(f"the run reports no {figure!r} (it has {known})")
    value = _number(figures[figure], f"the run reports {figure} = ")
    return Finding(
        observed=value,
        met=within(criterion, value),
        sentence=f"The run reports {figure} = {value:.4g}; " + asked(criterion),
    )


def loads(_criterion: ModelCriterion, case: Case) -> Finding:
    """The model was loaded and called in a process of its own."""
    return loaded(case)


def loaded(case: Case) -> Finding:
    """Return whether the model was loaded and called.

    :raises NotMeasurableError: nobody tried.
    """
    found = case.evidence.measured
    if not isinstance(found.get("loads"), bool):
        raise NotMeasurableError("nobody tried to load the model (ModelEvidenceOperator does)")
    if not found["loads"]:
        return Finding(
            observed=False, met=False, sentence=f"The model cannot be used: {found['failure']}."
        )
    rows = found.get("rows")
    return Finding(
        observed=True,
        met=True,
        sentence="The model loads" + (f" and answers {rows:,} rows." if rows else "."),
    )


def budget(criterion: ModelCriterion, case: Case) -> Finding:
    """A cost stays within its budget."""
    cost = criterion["cost"]
    value = case.evidence.costs.get(cost)
    if value is None and case.evidence.measured.get("loads") is False:
        raise NotMeasurableError(f"the model cannot be used: {case.evidence.measured['failure']}")
    number = _number(value, f"the evidence says {cost} = ")
    return Finding(
        observed=value,
        met=number <= criterion.limit,
        sentence=f"{cost} is {number:,g}; " + asked(criterion),
    )


def gated_data(_criterion: ModelCriterion, case: Case) -> Finding:
    """Every partition that went into the training passed its data gate."""
    training = case.evidence.training
    partitions = training.get("partitions") or []
    if not partitions:
        raise NotMeasurableError("the evidence names no training partitions")
    passed = {
        record.subject
        for name in training.get("gates") or []
        if (record := case.gates.get(str(name))) is not None
        and record.kind == "data"
        and Verdict(record.verdict).lets_pass
    }
    missing = [name for name in partitions if f"ai-data://{name}" not in passed]
    if missing:
        sentence = f"No passing data gate is on record for {', '.join(map(str, missing))}."
    else:
        sentence = f"All {len(partitions)} training partitions passed their data gate."
    return Finding(observed=not missing, met=not missing, sentence=sentence)


def own_data(_criterion: ModelCriterion, case: Case) -> Finding:
    """The candidate was judged on the project's own data."""
    data = case.evidence.data
    if not isinstance(data.get("own"), bool):
        raise NotMeasurableError("the evidence does not say whose data it was judged on")
    name = data.get("name", "the evaluation data")
    own = bool(data["own"])
    sentence = f"{name} is {'the' if own else 'public data, not the'} project's own data."
    return Finding(observed=own, met=own, sentence=sentence)


def drift(_criterion: ModelCriterion, case: Case) -> Finding:
    """The data it was judged on passed the drift gate against what it was trained on."""
    name = case.evidence.data.get("drift")
    if name is None:
        raise NotMeasurableError("the evidence names no drift gate of the evaluation data")
    record = case.gates.get(str(name))
    if record is None:
        raise NotMeasurableError(f"there is no gate record {name} in the ledger")
    if record.kind != "drift":
        raise NotMeasurableError(f"gate record {name} is of kind {record.kind}, not drift")
    judged = case.evidence.data.get("name")
    if judged is None or record.subject != f"ai-data://{judged}":
        raise NotMeasurableError(
            f"gate record {name} is about {record.subject}, not about {judged or 'this data'}"
        )
    drifted = [item["name"] for item in record.criteria if item["verdict"] == "fail"]
    met = Verdict(record.verdict).lets_pass
    said = f"{len(drifted)} of {len(record.criteria)} measures drifted"
    return Finding(
        observed=len(drifted),
        met=met,
        sentence=f"The drift gate of the evaluation data says {record.verdict}: {said}"
        + (f" ({', '.join(drifted[:5])})." if drifted else "."),
    )


def custom(criterion: ModelCriterion, case: Case) -> Finding:
    """What a function of the user's own answers keeps its limit."""
    call = criterion["call"]
    name = what(criterion.options)
    if not callable(call):
        raise NotMeasurableError(f"{name} was not looked up")
    try:
        answer = call(case)
    except NotMeasurableError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise NotMeasurableError(f"it raised {type(error).__name__}: {error}") from error
    said = None
    if isinstance(answer, tuple) and len(answer) == 2:
        answer, said = answer
    value = _number(answer, "it answered ")
    return Finding(
        observed=value,
        met=within(criterion, value),
        sentence=f"{said.rstrip('. ') if isinstance(said, str) else f'{name} is {value:.4g}'}; "
        + asked(criterion),
    )


def _number(value: Any, said: str) -> float:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise NotMeasurableError(f"{said}{value!r}")
    return value
