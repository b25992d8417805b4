"""What was said of answers: summed up by trace, and never passing for want of words."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.promotion.assessments import (
    AssessedTrace,
    Assessment,
    as_number,
    read_summary,
    summarised,
    traces_of_model,
    traces_of_prompt,
)
from airflow_ai_provider.core.promotion.criteria import parse_criteria
from airflow_ai_provider.core.promotion.evaluate import Case, evaluate
from airflow_ai_provider.core.promotion.evidence import parse_evidence
from airflow_ai_provider.core.promotion.life import Opinions


def said(value, *, by="person", name="helpful", source="ann", at="2026-01-01", **more):
    return Assessment(id=at, name=name, value=value, by=by, source=source, made_at=at, **more)


def trace(number, *assessments):
    return AssessedTrace(id=f"tr-{number}", experiment="1", assessments=assessments)


def case(*traces, **changes):
    count, found = summarised(traces)
    kept = {"traces": count, "found": [asdict(summary) for summary in found]}
    evidence = {"model_name": "m", "version": "3", "assessments": kept, **changes}
    return Case(evidence=parse_evidence(evidence), predictions=None)


def judged(found, **criterion):
    base = {"kind": "assessment", "assessment": "helpful", "by": "person", "min_answers": 2}
    asked = {key: value for key, value in {**base, **criterion}.items() if value is not None}
    return evaluate(parse_criteria([asked]), found)[0]


def test_the_unit_is_the_trace():
    loud = trace(1, *(said(5, source=f"p{n}") for n in range(9)))
    _, (found,) = summarised([loud, trace(2, said(1)), trace(3)])
    assert (found.answers, found.traces, found.sources) == (10, 2, 10)
    assert found.mean == 3.0, "nine words on one answer tell of one answer"
    assert (found.low, found.high) == (1.0, 5.0)


def test_the_last_word_of_each_counts():
    changed = (said(1, at="2026-01-01"), said(4, at="2026-01-02"))
    nameless = (said(2, source=None, at="2026-01-01"), said(3, source=None, at="2026-01-02"))
    gone = replace(said(1, source="bob"), holds=False)
    _, (found,) = summarised([trace(1, *changed, *nameless, gone)])
    assert (found.answers, found.mean) == (2, 3.5)


def test_a_trace_that_two_pages_show_counts_once():
    count, (found,) = summarised([trace(1, said(2)), trace(1, said(2))])
    assert (count, found.answers) == (1, 1)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        ("yes", 1.0),
        ("No", 0.0),
        ("4", 4.0),
        (2.5, 2.5),
        ("rather", None),
        ("nan", None),
        (float("inf"), None),
        (10**400, None),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_what_counts_as_a_number(value, number):
    assert as_number(value) == number


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.one_of(st.integers(1, 5), st.booleans(), st.text(max_size=3), st.none()),
                st.sampled_from(["ann", "bob", None]),
            ),
            max_size=4,
        ),
        max_size=8,
    )
)
def test_counts_add_up(words):
    traces = [
        trace(n, *(said(v, source=s, at=f"{k:02}") for k, (v, s) in enumerate(each)))
        for n, each in enumerate(words)
    ]
    count, summaries = summarised(traces)
    assert count == len(words)
    last = sum(len({s for _, s in each}) for each in words)
    assert sum(s.answers + s.unusable for s in summaries) == last
    for summary in summaries:
        assert read_summary(asdict(summary)) == summary
        if summary.traces:
            assert summary.low <= summary.mean <= summary.high


def test_a_criterion_on_the_mean_and_on_the_end_of_the_interval():
    found = case(*(trace(n, said(value)) for n, value in enumerate([4, 5, 4, 3])))
    mean = judged(found, min=3.5)
    assert (mean.verdict.value, mean.observed) == ("pass", 4.0)
    assert mean.name == "helpful assessment"
    outer = judged(found, min=3.5, bound="outer")
    assert outer.verdict.value == "fail"
    assert outer.observed == pytest.approx(4 - 3.182 * 0.8165 / 2, abs=0.005)
    assert "4 traces; of the outer end, at least 3.5 is asked for." in outer.sentence
    assert judged(found, max=5, bound="outer").observed > 5


@pytest.mark.parametrize(
    ("found", "criterion", "why"),
    [
        (case(assessments=None), {"min": 1}, "has no assessments on traces"),
        (case(trace(1)), {"min": 1}, "none of 1 traces has an assessment 'helpful'"),
        (case(trace(1, said("rather"))), {"min": 0}, "with a value by people"),
        (case(trace(1, said(5))), {"min": 1}, "at least 2 are needed"),
        (case(trace(1, said(5, by="judge"))), {"min": 1}, r"by people \(there are: none\)"),
        (
            case(trace(1, said(5))),
            {"min": 1, "min_answers": 1, "bound": "outer"},
            "one answer has no interval",
        ),
        (
            case(trace(1, said(9)), trace(2, said(8))),
            {"kind": "human_score", "source": "traces", "min": 3, "by": None},
            r"scores from 1 to 5 \(8 to 9, 0 are no number\)",
        ),
        (
            case(trace(1, said(5)), trace(2, said(4)), trace(3, said("good"))),
            {"kind": "human_score", "source": "traces", "min": 3, "by": None},
            "1 are no number",
        ),
    ],
)
def test_what_cannot_be_measured_fails(found, criterion, why):
    said = judged(found, severity="warn", **criterion)
    assert (said.verdict.value, said.observed) == ("fail", None)
    assert re.search(why, said.sentence), said.sentence


def test_sums_that_training_code_made_up_are_refused():
    good = {
        "name": "helpful", "by": "person", "answers": 2, "traces": 2, "sources": 1,
        "unusable": 0, "mean": 4.0, "deviation": 0.0, "low": 4.0, "high": 4.0,
    }  # fmt: skip
    assert read_summary(good).mean == 4.0
    for wrong in (
        None,
        {},
        {**good, "mean": None},
        {**good, "deviation": None},
        {**good, "traces": -1},
        {**good, "mean": "4"},
        {**good, "more": 1},
        {**good, "low": float("nan")},
    ):
        with pytest.raises(EvidenceError, match="sums up nothing"):
            read_summary(wrong)


def test_filters_hold_names_as_they_are():
    assert traces_of_prompt("it's", "3") == 'prompt = "it\'s/3"'
    assert traces_of_model("m-1") == "request_metadata.`mlflow.modelId` = 'm-1'"
    with pytest.raises(EvidenceError, match="both kinds of quotes"):
        traces_of_prompt("""it's "it\"""", "3")


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (6, 2.447), (9, 2.262), (99, 1.984)],
)
def test_the_interval_is_students(freedom, quantile):
    found = Opinions(answers=freedom + 1, mean=0.0, deviation=1.0)
    assert found.margin * (freedom + 1) ** 0.5 == pytest.approx(quantile, abs=0.002)
