from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import (
    FeedbackError,
    FeedbackSourceError,
    RetrainPolicyError,
)
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.feedback import FeedbackService, read_policy, write_predictions
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_sink import BatchCounts
from airflow_ai_provider.store.ledger import Ledger

Counts = tuple[int, int, int, int, int]


def told(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "feedback_id": f"f{number}",
        "prediction_id": f"p{number}",
        "model_name": "flight_delays",
        "observed_at": "2013-06-10T00:00:00Z",
        "label": number % 2,
        "source_kind": "outcome",
        "partition": "2013-06",
        **changes,
    }


def lines(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def counts(found: BatchCounts) -> Counts:
    return (found.read, found.stored, found.revised, found.duplicates, found.quarantined)


def test_a_file_is_taken_in_once(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    file = lines(tmp_path / "in.jsonl", told(1), told(2), told(1), told(3, label=None), [1])
    with file.open("a") as stream:
        stream.write('{"feedback_id": "f9", "lab')
    assert counts(service.ingest(file)) == (6, 2, 0, 1, 3)
    assert counts(service.ingest([str(file)])) == (6, 0, 0, 3, 3)
    status = service.status()
    assert (status["stored"], status["revised"], status["quarantined"]) == (2, 0, 3)
    places = [(row["place"], row["reason"]) for row in service.records.quarantine()]
    assert places[0] == ("line 4", "one of label, value and score must be there")
    assert places[2][0] == "line 6"
    assert "no JSON" in places[2][1]


def test_several_files_are_one_batch_whole_or_not_there(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    good = lines(tmp_path / "good.jsonl", told(1))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(b"PAR1 and no more")
    with pytest.raises(FeedbackSourceError):
        service.ingest([good, cut])
    assert service.status()["batches"] == 0
    assert counts(service.ingest([good, good])) == (2, 1, 0, 1, 0)


def test_a_file_with_other_names_is_mapped(store: Store, tmp_path: Path) -> None:
    file = lines(
        tmp_path / "reviews.jsonl",
        {"review_id": 7, "when": "2013-04-01T00:00:00Z", "stars": 4, "model_name": "m"},
    )
    service = FeedbackService(store)
    mapping = {"feedback_id": "review_id", "observed_at": "when", "score": "stars"}
    assert counts(service.ingest(file, mapping=mapping)) == (1, 1, 0, 0, 0)
    with pytest.raises(FeedbackError, match="'stars'"):
        service.ingest(file, mapping={"stars": "score"})


def test_a_record_from_the_future_is_refused(store: Store, tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", told(1, observed_at="9999-01-01T00:00:00Z"))
    service = FeedbackService(store)
    assert counts(service.ingest(file)) == (1, 0, 0, 0, 1)
    assert "future" in service.records.quarantine()[0]["reason"]


def hostile(generator: random.Random) -> bytes:
    good = json.dumps(told(generator.randrange(500))).encode()
    choice = generator.randrange(12)
    if choice == 0:
        return good[: generator.randrange(1, len(good))]
    if choice == 1:
        spoiled = bytearray(good)
        for _ in range(3):
            spoiled[generator.randrange(len(spoiled))] = generator.choice([0, 7, 34, 92, 200, 255])
        return bytes(spoiled).replace(b"\n", b" ")
    if choice == 2:
        return b"[" * generator.randrange(1, 3000)
    values: list[Any] = [
        None, True, -1, 1e308, float("nan"), float("inf"), 10**30, "", "\x00", "\ud800", "=1+1",
        "'; DROP TABLE feedback; --", [], {}, [[{}]], "9999-12-31T23:59:59-12:00", "x" * 3000,
    ]  # fmt: skip
    fields = [*told(0), "value", "score", "comment", "attributes", "unknown"]
    changes = {generator.choice(fields): generator.choice(values) for _ in range(2)}
    return json.dumps(told(generator.randrange(500), **changes)).encode()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_hostile_crashes_or_gets_lost(store: Store, tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\n".join(hostile(generator) for _ in range(2000)))
    service = FeedbackService(store)
    first = service.ingest(file)
    nonempty = sum(1 for line in file.read_bytes().split(b"\n") if line.strip())
    assert first.read == nonempty
    assert first.read == first.stored + first.revised + first.duplicates + first.quarantined
    assert first.stored > 50
    assert first.quarantined > 100
    again = service.ingest(file)
    assert (again.stored, again.revised, again.quarantined) == (0, 0, first.quarantined)
    kept = service.records.quarantine()
    assert len(kept) == first.quarantined
    assert all(row["place"].startswith("line ") and row["reason"] and row["raw"] for row in kept)
    assert service.status()["stored"] == first.stored


def june(service: FeedbackService, tmp_path: Path, *, version: str = "1") -> dict[str, Any]:
    generator = random.Random(1)
    numbers = range(900)
    scores = [generator.random() * 0.4 for _ in numbers]
    write_predictions(
        str(tmp_path / "log"),
        {
            "prediction_id": [f"p{n}" for n in numbers],
            "score": scores,
            "day": [date(2013, 6, 1 + n % 30) for n in numbers],
            "carrier": ["UA" if n % 3 else "AA" for n in numbers],
        },
        model_name="flight_delays",
        version=version,
        partition="2013-06",
    )
    outcomes = [
        told(n, label=int(generator.random() < score + 0.1)) for n, score in enumerate(scores)
    ]
    service.ingest(lines(tmp_path / "june.jsonl", *outcomes[:-90]))
    versions = service.metrics(
        model_name="flight_delays",
        predictions=str(tmp_path / "log"),
        partition="2013-06",
        slices=["carrier"],
    )
    return {"versions": [found.to_dict() for found in versions]}


def test_the_live_model_is_measured_and_added_to_the_series(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    (figures,) = june(service, tmp_path)["versions"]
    assert (figures["predictions"], figures["n"], figures["coverage"]) == (900, 810, 0.9)
    assert figures["gap"] == pytest.approx(0.1, abs=0.04)
    assert figures["gap_low"] < figures["gap"] < figures["gap_high"]
    assert 0.5 < figures["roc_auc"] < 0.9
    (point,) = service.series.read("flight_delays", metric="gap")
    assert (point["model_version"], point["partition"], point["n"]) == ("1", "2013-06", 810)
    assert len(service.series.read("flight_delays", slice_="carrier=UA")) == 3


def test_a_partition_without_predictions_measures_nothing(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    june(service, tmp_path)
    found = service.metrics(
        model_name="flight_delays", predictions=str(tmp_path / "log"), partition="2013-07"
    )
    assert found == []


def decide(service: FeedbackService, **changes: Any) -> Any:
    facts: dict[str, Any] = {
        "model_name": "flight_delays",
        "policy": {"max_gap": 0.02, "max_age_days": 60},
        "metrics": None,
        "champion": {"version": 1, "trained_through": "2013-03-31"},
        "partition": "2013-06",
        "window_end": "2013-06-30",
        "newest_data": "2013-05-31",
    }
    return service.decide(**{**facts, **changes})


def test_the_decision_reads_the_champions_own_figures(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    metrics = june(service, tmp_path)
    decision, draft = decide(service, metrics=metrics)
    assert decision.retrain
    assert draft.verdict is Verdict.PASS
    assert draft.subject == "mlflow://flight_delays/1"
    assert draft.evidence["metrics"]["n"] == 810
    assert "slices" not in draft.evidence["metrics"]
    other, _ = decide(service, metrics=metrics, champion={"version": "2"})
    assert not other.retrain


def test_a_registry_champion_says_how_it_was_trained(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    champion = {"version": "1", "run_id": "r", "training": {"through": "2013-03-31"}}
    decision, _ = decide(service, metrics=june(service, tmp_path), champion=champion)
    assert decision.retrain


def test_without_a_champion_it_is_no_and_the_subject_is_the_model(store: Store) -> None:
    decision, draft = decide(FeedbackService(store), champion=None)
    assert not decision.retrain
    assert draft.subject == "mlflow://flight_delays"
    assert "no champion yet" in decision.summary


def test_the_cooldown_is_told_from_the_ledger_in_days_of_data(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    metrics = june(service, tmp_path)
    _, draft = decide(service, metrics=metrics)
    Ledger(store).append(draft)
    policy = {"max_gap": 0.02, "cooldown_days": 31}
    again, _ = decide(service, metrics=metrics, policy=policy)
    assert again.retrain  # the same window is decided again, not another too soon after it
    next_month, _ = decide(
        service, metrics=metrics, policy={"cooldown_days": 32}, window_end="2013-07-31"
    )
    assert not next_month.retrain
    assert "31 days before" in next_month.summary


@pytest.mark.parametrize(
    "changes",
    [
        {"champion": {"trained_through": "2013-03-31"}},
        {"window_end": "June"},
        {"policy": {"max_gpa": 1}},
        {"policy": "/no/such/policy.yaml"},
    ],
)
def test_what_means_nothing_is_an_error(store: Store, changes: dict[str, Any]) -> None:
    with pytest.raises(RetrainPolicyError):
        decide(FeedbackService(store), **changes)


def test_a_policy_is_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("max_gap: 0.03\nmin_feedback: 500\n")
    assert read_policy(str(file)).max_gap == 0.03
    file.write_text("max_gap: [")
    with pytest.raises(RetrainPolicyError, match="cannot be read"):
        read_policy(file)
