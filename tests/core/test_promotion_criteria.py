"""Criteria are read strictly, and judged without a doubt left."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import CriteriaError, EvidenceError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict, seal
from airflow_ai_provider.core.promotion.criteria import KINDS, parse_criteria
from airflow_ai_provider.core.promotion.evaluate import Case, evaluate
from airflow_ai_provider.core.promotion.evidence import (
    Predictions,
    evidence_hash,
    parse_evidence,
)

AUC = {"kind": "threshold", "metric": "roc_auc", "min": 0.7}
BETTER = {"kind": "improvement", "metric": "roc_auc", "min_lower": 0.03, "resamples": 200}
CALIBRATED = {"kind": "rise", "metric": "ece", "max": 0.02}
GAP = {"kind": "slice_gap", "slice": "carrier", "min_rows": 50, "max": 0.15}


def evidence(**changes):
    return parse_evidence(
        {
            "model_name": "flight_delays",
            "run_id": "r1",
            "reference": "reference",
            "reference_kind": "baseline",
            "group": "day",
            "slices": ["carrier"],
            "data": {"name": "flights/2013-03", "own": True},
            "training": {"partitions": ["flights/2013-01"], "gates": ["g1"]},
            "costs": {"size_bytes": 1000},
            **changes,
        }
    )


def predictions(**changes):
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 600)
    found = {
        "label": label,
        "score": np.clip(label * 0.5 + random.random(600) * 0.5, 0, 1),
        "reference": random.random(600),
        "group": np.arange(600) % 20,
        "slices": {"carrier": np.array(["AA", "B6", "XX"])[np.minimum(np.arange(600) // 280, 2)]},
    }
    return Predictions(**{**found, **changes})


def judged(*criteria, rows=None, gates=None, **changes):
    case = Case(
        evidence=evidence(**changes),
        predictions=predictions() if rows is None else rows,
        gates=gates or {},
    )
    return evaluate(parse_criteria(criteria), case)


def record_of_data(subject, verdict=Verdict.PASS, kind=GateKind.DATA):
    from datetime import datetime, timezone

    return seal(
        GateDraft(kind=kind, subject=subject, verdict=verdict),
        record_id="g1",
        created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        previous_hash="0" * 64,
    )


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ("roc_auc", "Criterion 1 is no object"),
        ({"name": "ranks"}, r"Criterion 1 \(ranks\) has the unknown kind None"),
        ({"kind": "treshold"}, "Did you mean 'threshold'"),
        ({"kind": "threshold", "min": 1}, "has no metric. Choose from accuracy"),
        ({"kind": "threshold", "metric": "roc_acu", "min": 1}, "Did you mean 'roc_auc'"),
        ({"kind": "threshold", "metric": "roc_auc"}, "exactly one of min and max"),
        ({"kind": "threshold", "metric": "roc_auc", "min": 0, "max": 1}, "exactly one of"),
        ({"kind": "threshold", "metric": "roc_auc", "min": "0.7"}, "min: '0.7'. Write a number"),
        ({"kind": "threshold", "metric": "roc_auc", "min": True}, "Write a number"),
        ({"kind": "threshold", "metric": "roc_auc", "min": math.nan}, "Write a number"),
        ({**AUC, "maks": 1}, "unknown option 'maks'"),
        ({**AUC, "name": ""}, "has the name ''"),
        ({**AUC, "severity": "info"}, "Choose from fail, warn"),
        ({**BETTER, "over": "winner"}, "over: 'winner'"),
        ({**BETTER, "metric": "ece"}, "metric: 'ece'"),
        ({**BETTER, "resamples": 3}, "100 to 100000 is allowed"),
        ({"kind": "slice_gap", "max": 1}, "has no slice. Write a name"),
        ({"kind": "own_data", "max": 1}, "unknown option 'max'"),
    ],
)
def test_what_means_nothing_is_refused_by_place_and_name(criterion, message):
    with pytest.raises(CriteriaError, match=message):
        parse_criteria([criterion])


@pytest.mark.parametrize("value", [None, "x", 3, {}, {"criteria": None}])
def test_criteria_are_a_list(value):
    with pytest.raises(CriteriaError, match="must be a list"):
        parse_criteria(value)


def test_no_criteria_are_no_gate():
    with pytest.raises(CriteriaError, match="would let everything pass"):
        parse_criteria([])


def test_two_of_a_name_are_refused():
    with pytest.raises(CriteriaError, match="Two criteria are named 'roc_auc threshold'"):
        parse_criteria([AUC, {**AUC, "min": 0.8}])


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "metric", "min", "max", "slice", "name", "criteria", "x"]),
                inner | st.sampled_from([*KINDS, "roc_auc"]),
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_is_read_or_refused(value):
    try:
        found = parse_criteria(value)
    except CriteriaError as error:
        assert str(error)  # noqa: PT017 - any other error fails the test
    else:
        assert all(c.kind in KINDS for c in found)


def test_each_has_a_name_a_number_a_limit_and_a_sentence():
    auc, better, calibrated, gap = judged(AUC, {**BETTER, "name": "beats"}, CALIBRATED, GAP)
    assert (auc.name, better.name, calibrated.name) == ("roc_auc threshold", "beats", "ece rise")
    assert gap.name == "carrier slice_gap"
    assert auc.verdict is better.verdict is Verdict.PASS
    assert auc.observed > 0.9
    assert auc.limit == 0.7
    assert "on 600 held-out rows; at least 0.7" in auc.sentence
    assert "that of the baseline is +" in better.sentence
    assert "over 20 days; the lower end must lie above 0.03" in better.sentence
    assert "2 of 3 large enough" in gap.sentence


def test_limits_hold_in_their_direction():
    low, high = judged(
        {**AUC, "name": "low"}, {"kind": "threshold", "metric": "roc_auc", "max": 0.7, "name": "h"}
    )
    assert (low.verdict, high.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_a_twin_is_no_improvement():
    rows = predictions()
    twin = Predictions(label=rows.label, score=rows.score, reference=rows.score, group=rows.group)
    found = judged(
        {"kind": "improvement", "metric": "log_loss", "max_upper": 0.0, "resamples": 100},
        {"kind": "improvement", "metric": "roc_auc", "min_lower": 0.0, "resamples": 100},
        rows=twin,
    )
    assert {c.verdict for c in found} == {Verdict.FAIL}


@pytest.mark.parametrize("severity", ["fail", "warn"])
@pytest.mark.parametrize(
    ("criterion", "rows", "changes", "reason"),
    [
        (AUC, predictions(label=np.ones(600)), {}, "all 600 rows have the label 1"),
        (AUC, predictions(score=np.full(600, np.nan)), {}, "600 of 600 rows have no score"),
        (BETTER, predictions(reference=None), {"reference": None}, "no reference to compare"),
        (CALIBRATED, predictions(reference=None), {"reference": None}, "no reference"),
        ({**BETTER, "over": "baseline"}, None, {"reference_kind": "champion"}, "no baseline"),
        (BETTER, predictions(group=np.zeros(600)), {}, "at least 5 groups"),
        (GAP, predictions(slices={}), {}, "names no slice 'carrier'"),
        ({**GAP, "min_rows": 1000}, None, {}, "no carrier has 1000 rows"),
        ({"kind": "budget", "cost": "p95", "max": 1}, None, {}, "says p95 = None"),
        (
            {"kind": "budget", "cost": "p95", "max": 1},
            None,
            {"costs": {"p95": math.nan}},
            "says p95 = nan",
        ),
        ({"kind": "gated_data"}, None, {"training": {}}, "names no training partitions"),
        ({"kind": "own_data"}, None, {"data": {}}, "does not say whose data"),
    ],
)
def test_what_cannot_be_measured_fails_and_says_so(criterion, rows, changes, reason, severity):
    (found,) = judged({**criterion, "severity": severity}, rows=rows, **changes)
    assert found.verdict is Verdict.FAIL
    assert found.observed is None
    assert "could not be measured" in found.sentence
    assert reason in found.sentence


def test_without_predictions_nothing_is_measured():
    case = Case(evidence=evidence(), predictions=None)
    found = evaluate(parse_criteria([AUC, BETTER, GAP, {"kind": "min_rows", "min": 0}]), case)
    assert {c.verdict for c in found} == {Verdict.FAIL}


def test_the_first_model_passes_only_where_that_was_said():
    rows = predictions(reference=None)
    said = {**BETTER, "no_reference": "pass"}
    (found,) = judged(said, rows=rows, reference=None, reference_kind=None)
    assert found.verdict is Verdict.PASS
    assert "let pass: the evidence has no reference to compare with yet" in found.sentence


def test_with_no_champion_yet_the_baseline_is_compared_with():
    (found,) = judged({**BETTER, "over": "champion"})
    assert found.verdict is Verdict.PASS
    assert "the baseline" in found.sentence


def test_a_miss_may_only_warn():
    (found,) = judged({**AUC, "min": 1.1, "severity": "warn"})
    assert found.verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("gates", "met"),
    [
        ({}, False),
        ({"g1": record_of_data("ai-data://flights/2013-01")}, True),
        ({"g1": record_of_data("ai-data://flights/2013-01", Verdict.WARN)}, True),
        ({"g1": record_of_data("ai-data://flights/2013-01", Verdict.FAIL)}, False),
        ({"g1": record_of_data("ai-data://flights/2013-02")}, False),
        ({"g1": record_of_data("ai-data://flights/2013-01", kind=GateKind.MODEL)}, False),
        ({"g2": record_of_data("ai-data://flights/2013-01")}, False),
    ],
)
def test_training_data_must_have_passed_its_gate(gates, met):
    (found,) = judged({"kind": "gated_data"}, gates=gates)
    assert (found.verdict is Verdict.PASS) is met
    assert met or "flights/2013-01" in found.sentence


@pytest.mark.parametrize(("own", "verdict"), [(True, Verdict.PASS), (False, Verdict.FAIL)])
def test_public_data_is_not_our_own(own, verdict):
    (found,) = judged({"kind": "own_data"}, data={"name": "digits", "own": own})
    assert found.verdict is verdict


def test_budget_and_rows():
    small, rows = judged(
        {"kind": "budget", "cost": "size_bytes", "max": 999}, {"kind": "min_rows", "min": 600}
    )
    assert (small.verdict, small.observed) == (Verdict.FAIL, 1000)
    assert (rows.verdict, rows.observed) == (Verdict.PASS, 600)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "must be a JSON object"),
        ({}, "has no model_name"),
        ({"model_name": "m", "version": 1.5}, "version is no text"),
        ({"model_name": "m", "slices": "carrier"}, "slices is no list"),
        ({"model_name": "m", "data": []}, "data is no object"),
        ({"model_name": "m", "reference_kind": "friend"}, "reference_kind is 'friend'"),
    ],
)
def test_evidence_of_another_shape_is_refused(value, message):
    with pytest.raises(EvidenceError, match=message):
        parse_evidence(value)


def test_the_subject_is_the_version_or_the_run():
    assert evidence(version=3).subject == "mlflow://flight_delays/3"
    assert evidence().subject == "mlflow://flight_delays/runs/r1"
    assert evidence(run_id=None).subject == "mlflow://flight_delays"


def test_a_gate_result_has_the_hash_of_its_evidence():
    content = {"model_name": "m", "x": [1, 2.5]}
    result = {"evidence_hash": "whatever", "evidence": content, "verdict": "pass"}
    assert evidence_hash(result) == evidence_hash(content)
    assert evidence_hash({**content, "x": [1]}) != evidence_hash(content)
