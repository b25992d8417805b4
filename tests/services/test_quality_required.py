"""What other DAGs may ask of a data set's newest gate record."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import DataQualityRequiredError, QualityError
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Verdict,
    seal,
)
from airflow_ai_provider.core.quality.requirement import Requirement, Unmet, judge
from airflow_ai_provider.services.quality_required import require, standing
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def draft(
    subject: str = "ai-data://orders/1",
    verdict: str = "pass",
    *,
    kind: GateKind = GateKind.DATA,
    verdicts: tuple[str, ...] = ("pass",),
) -> GateDraft:
    criteria = tuple(
        Criterion(name=str(i), limit=None, observed=None, verdict=Verdict(v), sentence="")
        for i, v in enumerate(verdicts)
    )
    return GateDraft(kind=kind, subject=subject, verdict=Verdict(verdict), criteria=criteria)


def record(age: timedelta, **facts: Any) -> GateRecord:
    return seal(draft(**facts), record_id="r", created_at=NOW - age, previous_hash="0" * 64)


def reason(standing_record: GateRecord | None, **asked: Any) -> Unmet | None:
    return judge(Requirement.of(dataset="orders", **asked), standing_record, NOW).reason


@pytest.mark.parametrize(
    ("verdict", "required", "expected"),
    [
        ("pass", "pass", None),
        ("override", "pass", None),
        ("warn", "pass", Unmet.REFUSED),
        ("fail", "pass", Unmet.REFUSED),
        ("pass", "warn", None),
        ("override", "warn", None),
        ("warn", "warn", None),
        ("fail", "warn", Unmet.REFUSED),
    ],
)
def test_a_verdict_below_the_required_one_is_named(
    verdict: str, required: str, expected: Unmet | None
) -> None:
    assert reason(record(timedelta(0), verdict=verdict), verdict=required) is expected


def test_no_record_is_no_good_record() -> None:
    found = judge(Requirement.of(dataset="orders", partition="7"), None, NOW)
    assert (found.reason, bool(found), found.refused) == (Unmet.NO_RECORD, False, False)
    assert found.as_json()["subject"] == "ai-data://orders/7"


@given(
    age=st.integers(min_value=-10, max_value=10**6),
    limit=st.integers(min_value=0, max_value=10**6),
    text=st.booleans(),
)
def test_a_record_is_good_up_to_its_age(age: int, limit: int, text: bool) -> None:
    seen = reason(record(timedelta(seconds=age)), max_age=str(limit) if text else limit)
    assert seen is (Unmet.TOO_OLD if age > limit else None)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(("pass", "warn"), None), (("warn", "warn", "pass"), Unmet.LOW_SCORE), ((), Unmet.LOW_SCORE)],
)
def test_the_score_is_the_share_of_what_was_met(
    verdicts: tuple[str, ...], expected: Unmet | None
) -> None:
    assert reason(record(timedelta(0), verdicts=verdicts), min_score="0.5") is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"dataset": ""},
        {"verdict": "fail"},
        {"verdict": "good"},
        {"max_age": "a day"},
        {"max_age": -1},
        {"max_age": "nan"},
        {"min_score": 2},
        {"min_score": "nan"},
        {"min_score": "most"},
        {"gates": []},
        {"gates": ["data", "model"]},
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(QualityError):
        Requirement.of(**{"dataset": "orders", **wrong})


def test_the_newest_record_counts_of_the_partition_or_of_all(store: Store) -> None:
    ledger = Ledger(store)
    for subject, verdict, kind in (
        ("ai-data://orders/1", "fail", GateKind.DATA),
        ("ai-data://orders/1", "pass", GateKind.DATA),
        ("ai-data://orders/2", "fail", GateKind.DATA),
        ("ai-data://orders/1", "fail", GateKind.DRIFT),
        ("ai-data://orders2/1", "pass", GateKind.DATA),
        ("ai-data://ord_rs/1", "pass", GateKind.DATA),
    ):
        ledger.append(draft(subject, verdict, kind=kind))
    assert require(ledger, Requirement.of(dataset="orders", partition="1", max_age=60))
    assert standing(ledger, Requirement.of(dataset="orders", partition="3")).reason is (
        Unmet.NO_RECORD
    )
    with pytest.raises(DataQualityRequiredError, match="says fail; warn is required") as refused:
        require(ledger, Requirement.of(dataset="orders"))
    assert refused.value.facts["reason"] == "refused"
    assert refused.value.facts["subject"] == "ai-data://orders/2"
    ledger.append(draft("ai-data://orders", "pass"))
    assert require(ledger, Requirement.of(dataset="orders"))
    assert standing(ledger, Requirement.of(dataset="orders", max_age=0)).reason is Unmet.TOO_OLD


def test_each_gate_that_is_asked_for_must_be_good(store: Store) -> None:
    ledger = Ledger(store)
    both = Requirement.of(dataset="orders", partition="1", gates=["data", "drift"])
    ledger.append(draft(verdict="pass"))
    found = standing(ledger, both)
    assert (found.reason, found.sentence) == (
        Unmet.NO_RECORD,
        "No drift gate has judged ai-data://orders/1 yet.",
    )
    ledger.append(draft(verdict="fail", kind=GateKind.DRIFT))
    assert standing(ledger, both).refused
    assert standing(ledger, Requirement.of(dataset="orders", gates="data"))
    assert not standing(ledger, Requirement.of(dataset="orders", gates="drift"))
    ledger.append(draft(verdict="warn", kind=GateKind.DRIFT))
    assert standing(ledger, both)
