"""Gate records: canonical form, verdicts and the chain."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import (
    GENESIS,
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Verdict,
    canonical,
    digest,
    first_break,
    plain,
    seal,
    worst,
)

MOMENT = datetime(2013, 6, 1, 12, tzinfo=timezone.utc)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.datetimes(timezones=st.just(timezone.utc)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def chain(length: int) -> list[GateRecord]:
    records: list[GateRecord] = []
    previous = GENESIS
    for number in range(length):
        draft = GateDraft(kind=GateKind.DATA, subject=f"ai-data://x/{number}", verdict=Verdict.PASS)
        record = seal(draft, record_id=f"r{number}", created_at=MOMENT, previous_hash=previous)
        records.append(record)
        previous = record.hash
    return records


def broken(records: list[GateRecord], written: list[GateRecord]) -> str | None:
    numbers = {record.id: number for number, record in enumerate(written, start=1)}
    found = first_break(
        [(numbers.get(r.id, 0), r) for r in records], (len(written), written[-1].hash)
    )
    return found.reason if found else None


@given(ANYTHING)
def test_anything_has_one_digest_that_survives_its_json(value: object) -> None:
    import json

    assert digest(value) == digest(json.loads(canonical(value)))


def test_numbers_that_json_cannot_carry_keep_their_name() -> None:
    assert plain([math.nan, math.inf, 2**60, 1.5]) == ["nan", "inf", str(2**60), 1.5]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Verdict.PASS),
        ([Verdict.PASS, Verdict.WARN], Verdict.WARN),
        ([Verdict.WARN, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
        ([Verdict.OVERRIDE], Verdict.PASS),
    ],
)
def test_the_strictest_verdict_counts(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected


def test_only_a_failure_holds_back() -> None:
    assert [v.value for v in Verdict if not v.lets_pass] == ["fail"]


def test_a_whole_chain_has_no_break() -> None:
    records = chain(5)
    assert broken(records, records) is None
    assert first_break([], (0, GENESIS)) is None


@given(st.integers(0, 6), st.sampled_from(["subject", "verdict", "decided_by", "created_at"]))
def test_a_changed_field_is_found_where_it_is(place: int, field: str) -> None:
    records = chain(7)
    changed = [replace(r, **{field: "else"}) if i == place else r for i, r in enumerate(records)]
    found = first_break(list(enumerate(changed, start=1)), (7, records[-1].hash))
    assert found is not None
    assert (found.sequence, found.record) == (place + 1, f"r{place}")
    assert "changed" in found.reason


@given(st.integers(0, 6))
def test_a_missing_record_is_found(place: int) -> None:
    records = chain(7)
    reason = broken(records[:place] + records[place + 1 :], records)
    assert reason is not None
    assert "missing" in reason


@given(st.integers(0, 5))
def test_two_records_that_changed_places_are_found(place: int) -> None:
    records = chain(7)
    swapped = [*records]
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    found = first_break(list(enumerate(swapped, start=1)), (7, records[-1].hash))
    assert found is not None
    assert found.sequence == place + 1


@given(st.integers(0, 6))
def test_a_record_rewritten_with_a_matching_hash_is_found(place: int) -> None:
    records = chain(7)
    draft = GateDraft(kind=GateKind.DATA, subject="ai-data://forged", verdict=Verdict.PASS)
    forged = seal(
        draft,
        record_id=records[place].id,
        created_at=MOMENT,
        previous_hash=records[place].previous_hash,
    )
    numbered = [(i + 1, forged if i == place else r) for i, r in enumerate(records)]
    assert first_break(numbered, (7, records[-1].hash)) is not None


def test_the_hash_covers_every_field_before_it() -> None:
    criterion = Criterion(
        name="rows", limit=1, observed=2, verdict=Verdict.PASS, sentence="Enough rows."
    )
    record = seal(
        GateDraft(
            kind=GateKind.MODEL,
            subject="mlflow://m/1",
            verdict=Verdict.PASS,
            criteria=(criterion,),
            evidence={"rows": 2},
        ),
        record_id="r",
        created_at=MOMENT,
        previous_hash=GENESIS,
    )
    assert record.hash == digest(record.content())
    assert list(record.content()) == [
        "id", "kind", "subject", "verdict", "criteria", "evidence", "decided_by", "dag_id",
        "run_id", "task_id", "map_index", "try_number", "created_at", "previous_hash",
    ]  # fmt: skip
