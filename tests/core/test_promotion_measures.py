"""Slices, calibration, reproducibility, costs, drift and one's own functions as criteria."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import CriteriaError, EvidenceError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict, seal
from airflow_ai_provider.core.promotion.criteria import parse_criteria
from airflow_ai_provider.core.promotion.evaluate import Case, evaluate
from airflow_ai_provider.core.promotion.evidence import Predictions, parse_evidence
from airflow_ai_provider.core.promotion.measured import (
    MeasureLimits,
    Measurement,
    parse_bytes,
    with_measurement,
)

TRAINING = {"partitions": ["flights/2013-01"], "seed": 7, "gates": ["g1"]}


def rows(**changes):
    """Two carriers: of AA 9 of 10 are read right, of B6 6 of 10; every score is 0 or 1."""
    label = np.tile([0, 1], 100)
    wrong = np.concatenate([np.arange(100) % 10 == 0, np.arange(100) % 10 < 4])
    found = {
        "label": label,
        "score": np.where(wrong, 1 - label, label).astype(float),
        "slices": {"carrier": np.repeat(["AA", "B6"], 100)},
    }
    return Predictions(**{**found, **changes})


def judged(criterion, predictions=None, *, gates=None, **evidence):
    said = {"model_name": "m", "run_id": "r1", "training": TRAINING, **evidence}
    case = Case(
        evidence=parse_evidence(said),
        predictions=rows() if predictions is None else predictions,
        gates=gates or {},
    )
    (found,) = evaluate(parse_criteria([criterion]), case)
    return found


# --- slices ------------------------------------------------------------------------------------

WORST = {"kind": "worst_slice", "slice": "carrier", "metric": "accuracy", "min": 0.7}
SPREAD = {"kind": "slice_spread", "slice": "carrier", "metric": "accuracy", "max": 0.2}


def test_the_worst_slice_decides():
    found = judged(WORST)
    assert (found.verdict, found.observed) == (Verdict.FAIL, 0.6)
    assert found.name == "carrier accuracy worst_slice"
    assert "The worst accuracy is 0.6, for carrier B6 (100 rows); 2 slices" in found.sentence
    assert judged({**WORST, "min": 0.6}).verdict is Verdict.PASS
    most = {"kind": "worst_slice", "slice": "carrier", "metric": "brier", "max": 0.3}
    assert judged(most).observed == pytest.approx(0.4)


def test_the_spread_between_slices_is_judged():
    found = judged(SPREAD)
    assert found.observed == pytest.approx(0.3)
    assert found.verdict is Verdict.FAIL
    assert "from 0.6 (carrier B6) to 0.9 (AA), 0.3000 apart" in found.sentence
    assert judged({**SPREAD, "max": 0.31}).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("criterion", "predictions", "reason"),
    [
        (WORST, rows(slices={}), "names no slice 'carrier'"),
        ({**WORST, "min_rows": 101}, rows(), "no carrier has 101 rows"),
        ({**SPREAD, "min_rows": 101}, rows(), "no carrier has 101 rows"),
        (SPREAD, rows(slices={"carrier": np.full(200, "AA")}), "only one carrier has enough"),
        (
            {**WORST, "metric": "roc_auc"},
            rows(label=np.repeat([1, 0], 100)),
            "of carrier AA, all 100 rows have the label 1",
        ),
        (WORST, rows(score=np.full(200, np.nan)), "of carrier AA, 100 of 100 rows have no score"),
    ],
)
def test_a_slice_that_cannot_be_measured_fails(criterion, predictions, reason):
    found = judged(criterion, predictions)
    assert (found.verdict, found.observed) == (Verdict.FAIL, None)
    assert reason in found.sentence


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 3)), min_size=1))
def test_slices_are_those_that_one_counts_by_hand(answers):
    label = np.array([answer[0] for answer in answers])
    right = np.array([answer[1] for answer in answers])
    names = np.array([f"s{answer[2]}" for answer in answers])
    shares = [right[names == name].mean() for name in sorted(set(names))]
    made = rows(label=label, score=np.where(right, label, 1.0 - label), slices={"carrier": names})
    assert judged(WORST, made).observed == pytest.approx(min(shares))
    if len(shares) > 1:
        assert judged(SPREAD, made).observed == pytest.approx(max(shares) - min(shares))


# --- calibration -------------------------------------------------------------------------------


def test_calibration_on_average_and_in_the_worst_bin():
    score = np.repeat([0.25, 0.75], 500)
    label = np.concatenate([np.arange(500) % 4 == 0, np.arange(500) % 2 == 0]).astype(int)
    made = rows(label=label, score=score)
    mean = judged({"kind": "calibration", "max": 0.13}, made)
    worst = judged({"kind": "calibration", "error": "mce", "max": 0.13}, made)
    assert mean.observed == pytest.approx(0.125)
    assert mean.verdict is Verdict.PASS
    assert worst.observed == pytest.approx(0.25)
    assert worst.verdict is Verdict.FAIL
    assert "0.750 was said and 0.500 happened" in worst.sentence
    assert (mean.name, worst.name) == ("ece calibration", "mce calibration")


def test_calibration_needs_probabilities():
    found = judged({"kind": "calibration", "max": 1}, rows(score=np.full(200, 3.0)))
    assert found.verdict is Verdict.FAIL
    assert "no probabilities" in found.sentence


# --- reproducibility ---------------------------------------------------------------------------

SAME = {"kind": "reproducible", "metric": "accuracy", "max": 0.01}
AGAIN = {"model_name": "m", "run_id": "r2", "training": {**TRAINING, "gates": ["g7"]}}


def test_the_same_inputs_give_the_same_metric():
    twin = evidence_of_two(AGAIN, rows())
    assert (twin.verdict, twin.observed) == (Verdict.PASS, 0.0)
    other = rows(score=rows().label.astype(float))
    assert evidence_of_two(AGAIN, other).observed == pytest.approx(0.25)
    assert evidence_of_two(AGAIN, other).verdict is Verdict.FAIL


def evidence_of_two(again, second, **changes):
    said = {"model_name": "m", "run_id": "r1", "training": TRAINING, "retrained": again, **changes}
    case = Case(evidence=parse_evidence(said), predictions=rows(), retrained=second)
    (found,) = evaluate(parse_criteria([SAME]), case)
    return found


@pytest.mark.parametrize(
    ("again", "second", "changes", "reason"),
    [
        (None, None, {}, "names no second training"),
        (AGAIN, None, {}, "names no second training"),
        ({**AGAIN, "run_id": "r1"}, rows(), {}, "the second training is the first"),
        (AGAIN, rows(), {"training": {}}, "does not say what went into the training"),
        ({**AGAIN, "training": {**TRAINING, "seed": 8}}, rows(), {}, "had other inputs: seed"),
        (AGAIN, rows(label=1 - rows().label), {}, "judged on other rows"),
    ],
)
def test_what_is_no_second_training_is_not_measured(again, second, changes, reason):
    found = evidence_of_two(again, second, **changes)
    assert (found.verdict, found.observed) == (Verdict.FAIL, None)
    assert reason in found.sentence


# --- what the evidence says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "verdict", "sentence"),
    [
        ("loss", Verdict.PASS, "reports loss = 0.25; at most 0.3"),
        ("lost", Verdict.FAIL, "reports no 'lost' (it has loss, nan, text)"),
        ("nan", Verdict.FAIL, "reports nan = nan"),
        ("text", Verdict.FAIL, "reports text = 'nan'"),
    ],
)
def test_a_figure_of_the_run(figure, verdict, sentence):
    run = {"metrics": {"loss": 0.25, "nan": math.nan, "text": "nan"}}
    found = judged({"kind": "reported", "figure": figure, "max": 0.3}, run=run)
    assert found.verdict is verdict
    assert sentence in found.sentence


def test_a_run_that_reports_nothing():
    found = judged({"kind": "reported", "figure": "loss", "max": 0.3})
    assert "(it has none)" in found.sentence


def measured(failure=None, **costs):
    said = {"model_name": "m", "costs": {"p95_ms": 1.0, "size_bytes": 5, "price": 2.0}}
    found = Measurement(failure=failure, costs=costs, rows=3)
    return with_measurement(said, found, MeasureLimits())


def test_what_was_measured_replaces_what_was_claimed():
    assert measured(p95_ms=30.0)["costs"] == {"price": 2.0, "p95_ms": 30.0}
    assert measured("it hangs", size_bytes=5)["costs"] == {"price": 2.0}


def test_a_model_that_does_not_load_fails_with_every_budget():
    said = measured("while loading, it was not done within 2 s")
    loads = judged({"kind": "loads"}, **said)
    budget = judged({"kind": "budget", "cost": "p95_ms", "max": 1e9}, **said)
    price = judged({"kind": "budget", "cost": "price", "max": 2}, **said)
    assert (loads.verdict, loads.observed) == (Verdict.FAIL, False)
    assert "cannot be used: while loading, it was not done within 2 s." in loads.sentence
    assert budget.verdict is Verdict.FAIL
    assert "was not done within 2 s" in budget.sentence
    assert price.verdict is Verdict.PASS


def test_a_model_that_loads():
    found = judged({"kind": "loads"}, **measured(p95_ms=1.0))
    assert found.verdict is Verdict.PASS
    assert found.sentence == "The model loads and answers 3 rows."
    assert "nobody tried" in judged({"kind": "loads"}).sentence


@pytest.mark.parametrize(
    ("text", "count"), [("2GiB", 2**31), ("1.5 kb", 1500), (77, 77), ("300 MiB", 300 * 2**20)]
)
def test_memory_is_written_in_units(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "2 TiB", None, "inf"])
def test_memory_that_means_nothing(text):
    with pytest.raises(EvidenceError, match="no amount of memory"):
        parse_bytes(text)


# --- drift -------------------------------------------------------------------------------------

DATA = {"name": "flights/2013-03", "drift": "d1"}


def drift_record(verdict=Verdict.PASS, kind=GateKind.DRIFT, subject="ai-data://flights/2013-03"):
    criteria = tuple(
        Criterion(name=name, limit=0.2, observed=0.1, verdict=each, sentence="")
        for name, each in (("psi of dep_delay", verdict), ("psi of carrier", Verdict.PASS))
    )
    return seal(
        GateDraft(kind=kind, subject=subject, verdict=verdict, criteria=criteria),
        record_id="d1",
        created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        previous_hash="0" * 64,
    )


def test_the_evaluation_data_passed_its_drift_gate():
    found = judged({"kind": "drift"}, data=DATA, gates={"d1": drift_record()})
    assert (found.verdict, found.observed) == (Verdict.PASS, 0)
    found = judged({"kind": "drift"}, data=DATA, gates={"d1": drift_record(Verdict.FAIL)})
    assert (found.verdict, found.observed) == (Verdict.FAIL, 1)
    assert "1 of 2 measures drifted (psi of dep_delay)." in found.sentence


@pytest.mark.parametrize(
    ("data", "record", "reason"),
    [
        ({}, None, "names no drift gate"),
        (DATA, None, "no gate record d1"),
        (DATA, drift_record(kind=GateKind.DATA), "is of kind data, not drift"),
        (DATA, drift_record(subject="ai-data://x/1"), "is about ai-data://x/1"),
        ({"drift": "d1"}, drift_record(), "not about this data"),
    ],
)
def test_drift_that_nobody_measured(data, record, reason):
    found = judged({"kind": "drift"}, data=data, gates={"d1": record} if record else {})
    assert found.observed is None
    assert reason in found.sentence


# --- functions of one's own --------------------------------------------------------------------


def profit(case):
    return float(np.sum(case.rows.score)), "The profit is 1 a row."


@pytest.mark.parametrize(
    ("call", "verdict", "sentence"),
    [
        (profit, Verdict.PASS, "The profit is 1 a row; at least 50 is asked for."),
        (lambda case: np.float64(50), Verdict.PASS, "<lambda> is 50;"),
        (lambda case: 49.9, Verdict.FAIL, "<lambda> is 49.9;"),
        (lambda case: True, Verdict.FAIL, "measured: it answered True"),
        (lambda case: math.nan, Verdict.FAIL, "measured: it answered nan"),
        (lambda case: None, Verdict.FAIL, "measured: it answered None"),
        (lambda case: 1 / 0, Verdict.FAIL, "it raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_function_of_ones_own(call, verdict, sentence):
    found = judged({"kind": "custom", "call": call, "min": 50, "name": "profit"})
    assert found.verdict is verdict
    assert sentence in found.sentence


@pytest.mark.parametrize("call", [None, 3, "profit", "a b:c", "x:y:z"])
def test_what_is_no_function(call):
    with pytest.raises(CriteriaError, match="Write package"):
        parse_criteria([{"kind": "custom", "call": call, "min": 1}])
