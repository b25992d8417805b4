"""Judging evidence with real Parquet, history and registration with a fake registry."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import pytest
import yaml

from airflow_ai_provider.core.errors import CriteriaError, EvidenceError, RegistryNotFoundError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict, digest
from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.services.promotion import (
    champion,
    check_aliases,
    history,
    judge,
    load_criteria,
    register,
)
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import FakeRegistry, memory_store

AUC = [{"kind": "threshold", "metric": "roc_auc", "min": 0.7}]
PILOT = [
    *AUC,
    {"kind": "improvement", "metric": "roc_auc", "over": "reference", "min_lower": 0.03},
    {"kind": "improvement", "metric": "log_loss", "over": "reference", "max_upper": 0.0},
    {"kind": "threshold", "metric": "ece", "max": 0.06},
    {"kind": "slice_gap", "slice": "carrier", "min_rows": 400, "max": 0.15},
    {"kind": "budget", "cost": "p95_ms_per_1000", "max": 50},
    {"kind": "budget", "cost": "size_bytes", "max": 50_000_000},
    {"kind": "min_rows", "min": 1000},
    {"kind": "gated_data"},
    {"kind": "own_data"},
]


@pytest.fixture
def ledger():
    return Ledger(memory_store())


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "predictions.parquet"
    duckdb.sql("""
        SELECT setseed(0.5); CREATE OR REPLACE TEMP TABLE rows AS
        SELECT (i % 30)::INT AS day, ['AA', 'B6', NULL][1 + i % 3] AS carrier, random() AS chance,
        FROM range(3000) t(i)""")
    duckdb.sql(f"""
        COPY (SELECT day, carrier, (random() < chance)::INT AS label, chance AS score,
                     0.5::FLOAT AS reference, DATE '2013-03-01' + day AS date,
                     (chance * 3)::TINYINT AS prediction
              FROM rows) TO '{path}'""")
    return path


def evidence(path, **changes):
    return {
        "model_name": "flight_delays",
        "run_id": "r1",
        "model_uri": "models:/m-1",
        "version": None,
        "candidate": "boosting",
        "predictions": str(path),
        "label": "label",
        "score": "score",
        "reference": "reference",
        "reference_kind": "baseline",
        "group": "date",
        "slices": ["carrier"],
        "data": {"name": "flights/2013-03", "own": True, "digest": "d"},
        "training": {"partitions": ["flights/2013-01"], "gates": [], "through": "2013-01-31"},
        "costs": {"p95_ms_per_1000": 23.0, "size_bytes": 854_000},
        **changes,
    }


def judged(ledger, path, criteria=PILOT, **changes):
    return judge(evidence(path, **changes), criteria, ledger=ledger, decided_by="test")


def passing_data_gate(ledger, partition="flights/2013-01"):
    draft = GateDraft(kind=GateKind.DATA, subject=f"ai-data://{partition}", verdict=Verdict.PASS)
    return ledger.append(draft).id


def test_a_good_candidate_passes_all(ledger, parquet):
    gate = passing_data_gate(ledger)
    training = {"partitions": ["flights/2013-01"], "gates": [gate, "unknown"]}
    found = judged(ledger, parquet, training=training)
    assert [c.verdict for c in found.criteria] == [Verdict.PASS] * len(PILOT), found.failed
    assert found.draft.subject == "mlflow://flight_delays/runs/r1"
    assert found.metrics["candidate"]["rows"] == 3000
    assert set(found.metrics["candidate"]) == {*metrics.METRICS, "rows"} - {"mae", "rmse"}
    assert found.metrics["reference"]["roc_auc"] == 0.5


def test_one_miss_refuses(ledger, parquet):
    found = judged(ledger, parquet)
    assert found.verdict is Verdict.FAIL
    assert [c.name for c in found.failed] == ["gated_data"]


def test_the_result_is_json_and_its_hash_is_that_of_its_evidence(ledger, parquet):
    found = judged(ledger, parquet, AUC)
    record = ledger.append(found.draft)
    result = json.loads(json.dumps(found.result(record)))
    assert result["passed"] is True
    assert result["record"] == record.id
    assert result["evidence_hash"] == digest(result["evidence"]) == record.evidence["evidence_hash"]
    assert set(result["criteria"][0]) == {"name", "limit", "observed", "verdict", "sentence"}
    assert len(json.dumps(result)) < 8192


def test_other_predictions_are_other_evidence(ledger, parquet):
    first = judged(ledger, parquet, AUC)
    duckdb.sql(
        f"COPY (FROM read_parquet('{parquet}') LIMIT 2999) TO '{parquet.parent / 'p2.parquet'}'"
    )
    (parquet.parent / "p2.parquet").replace(parquet)
    assert judged(ledger, parquet, AUC).evidence_hash != first.evidence_hash


def test_the_same_again_is_the_same(ledger, parquet):
    assert judged(ledger, parquet).draft == judged(ledger, parquet).draft


def test_classes_are_judged_by_accuracy(ledger, parquet):
    several = [{"kind": "threshold", "metric": "accuracy", "min": 0.1}]
    duckdb.sql(f"""
        COPY (SELECT prediction AS label, prediction, 0 AS guess FROM read_parquet('{parquet}'))
        TO '{parquet.parent / "digits.parquet"}'""")
    shape = {"score": "prediction", "reference": "guess", "group": None, "slices": []}
    better = {"kind": "improvement", "metric": "accuracy", "min_lower": 0.2, "resamples": 200}
    found = judged(ledger, parquet.parent / "digits.parquet", [*several, better], **shape)
    assert found.verdict is Verdict.PASS
    assert set(found.metrics["candidate"]) == {"rows", "accuracy"}


def test_numbers_are_judged_by_their_error(ledger, tmp_path):
    path = tmp_path / "minutes.parquet"
    duckdb.sql(f"""
        COPY (SELECT i + 0.5 AS label, i + 1.5 AS score, i + 3.5 AS guess FROM range(200) t(i))
        TO '{path}'""")
    criteria = [
        {"kind": "threshold", "metric": "mae", "max": 1.0},
        {"kind": "threshold", "metric": "rmse", "max": 1.0},
        {"kind": "improvement", "metric": "mse", "max_upper": 0.0, "resamples": 100},
        {"kind": "improvement", "metric": "mae", "max_upper": -2.1, "resamples": 100},
    ]
    shape = {"reference": "guess", "group": None, "slices": []}
    found = judged(ledger, path, criteria, **shape)
    assert [c.verdict.value for c in found.criteria] == ["pass", "pass", "pass", "fail"]
    assert found.criteria[2].observed == pytest.approx(-8.0)
    assert found.metrics["candidate"] == {"rows": 200, "mae": 1.0, "rmse": 1.0}


def test_a_file_address_is_a_path(ledger, parquet):
    assert judged(ledger, f"file://{parquet}", AUC).verdict is Verdict.PASS


def test_without_predictions_the_candidate_is_refused(ledger):
    found = judged(ledger, "", AUC, predictions=None)
    assert found.verdict is Verdict.FAIL
    assert "names no predictions" in found.criteria[0].sentence


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictions": "/nowhere/p.parquet"}, "no predictions at /nowhere/p.parquet"),
        ({"predictions": "s3://bucket/p.parquet"}, "cannot be read from here"),
        ({"score": "probability"}, "no column probability. There are day, carrier, label"),
        ({"slices": ["origin", "dest"]}, "no column origin, dest"),
    ],
)
def test_predictions_that_are_not_there(ledger, parquet, changes, message):
    with pytest.raises(EvidenceError, match=message):
        judged(ledger, parquet, AUC, **changes)


@pytest.mark.parametrize("cut", [0, 3, 500])
def test_predictions_cut_short(ledger, parquet, cut):
    parquet.write_bytes(parquet.read_bytes()[:cut])
    with pytest.raises(EvidenceError, match="cannot be read: "):
        judged(ledger, parquet, AUC)


def test_a_null_score_cannot_be_measured(ledger, tmp_path):
    path = tmp_path / "p.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS label, NULL::DOUBLE AS score FROM range(3)) TO '{path}'")
    shape = {"reference": None, "group": None, "slices": []}
    found = judged(ledger, path, AUC, **shape)
    assert "3 of 3 rows have no score" in found.criteria[0].sentence


def test_criteria_come_from_yaml_too(tmp_path):
    path = tmp_path / "criteria.yaml"
    path.write_text(yaml.safe_dump({"criteria": PILOT}))
    assert load_criteria(str(path)) == load_criteria(PILOT)
    path.write_text("- [")
    with pytest.raises(CriteriaError, match="are no YAML"):
        load_criteria(path)
    with pytest.raises(CriteriaError, match="cannot be read"):
        load_criteria(str(tmp_path / "none.yaml"))


@pytest.mark.slow
def test_metrics_are_those_of_scikit_learn():
    from sklearn import metrics as reference

    random = np.random.default_rng(0)
    for size in (10, 1000):
        label = np.append(random.integers(0, 2, size - 2), [0, 1])
        score = np.round(np.clip(label * 0.2 + random.random(size) * 0.8, 0, 1), 2)
        for mine, theirs in (
            (metrics.roc_auc, reference.roc_auc_score),
            (metrics.average_precision, reference.average_precision_score),
            (metrics.log_loss, reference.log_loss),
            (metrics.brier, reference.brier_score_loss),
        ):
            assert mine(label, score) == pytest.approx(theirs(label, score), abs=1e-12)
        assert metrics.accuracy(label, score) == reference.accuracy_score(label, score >= 0.5)


# --- registration ------------------------------------------------------------------------------


def test_a_run_is_registered_once(tmp_path):
    registry = FakeRegistry()
    first = register(evidence(tmp_path), registry=registry, tags={"by": "ml"})
    again = register(evidence(tmp_path), registry=registry)
    other = register(evidence(tmp_path, run_id="r2"), registry=registry)
    assert (first.version, again.version, other.version) == ("1", "1", "2")
    tags = registry.get_version("flight_delays", "1").tags
    assert tags["by"] == "ml"
    assert json.loads(tags["airflow_ai.training"])["through"] == "2013-01-31"


def test_what_is_nowhere_cannot_be_registered(tmp_path):
    with pytest.raises(EvidenceError, match="lacks run_id or model_uri"):
        register(evidence(tmp_path, model_uri=None), registry=FakeRegistry())


def test_the_champion_and_what_it_was_trained_on(tmp_path):
    registry = FakeRegistry()
    with pytest.raises(RegistryNotFoundError):
        champion("flight_delays", registry=registry)
    register(evidence(tmp_path), registry=registry)
    assert champion("flight_delays", registry=registry) is None
    registry.set_alias("flight_delays", "production", "1")
    found = champion("flight_delays", registry=registry)
    assert found["version"] == "1"
    assert found["trained_through"] == "2013-01-31"
    assert found["model_uri"] == "models:/flight_delays/1"


def test_a_version_that_others_registered_has_no_training():
    registry = FakeRegistry()
    registry.create_model("m")
    registry.create_version("m", model_uri="s3://x", run_id=None, tags={})
    registry.set_alias("m", "production", "1")
    assert champion("m", registry=registry)["training"] == {}


# --- history -----------------------------------------------------------------------------------


def moved(ledger, environment, version, verdict=Verdict.PASS, name="m", kind=GateKind.PROMOTION):
    return ledger.append(
        GateDraft(
            kind=kind,
            subject=f"mlflow://{name}/{version}",
            verdict=verdict,
            evidence={"environment": environment, "to": version, "why": "w"},
            decided_by="sponsor",
        )
    )


def test_history_answers_what_was_where_when(ledger):
    first = moved(ledger, "production", "1")
    moved(ledger, "dev", "2")
    second = moved(ledger, "production", "2")
    moved(ledger, "production", "3", verdict=Verdict.FAIL)
    moved(ledger, "production", "9", name="m2")
    moved(ledger, "production", "9", kind=GateKind.MODEL)
    back = moved(ledger, "production", "1", kind=GateKind.ROLLBACK)
    found = [i for i in history("m", ledger=ledger) if i["environment"] == "production"]
    assert [i["version"] for i in found] == ["1", "2", "1"]
    assert found[0] == {
        "environment": "production",
        "version": "1",
        "from": first.created_at,
        "to": second.created_at,
        "by": "sponsor",
        "why": "w",
        "record": first.id,
    }
    assert found[-1]["to"] is None

    def at(moment):
        return [
            i["version"]
            for i in history("m", ledger=ledger, at=moment)
            if i["environment"] == "production"
        ]

    begins = datetime.fromisoformat(first.created_at)
    assert at(begins) == ["1"]
    assert at(begins - timedelta(seconds=1)) == []
    assert at(datetime.fromisoformat(second.created_at)) == ["2"]
    assert at(datetime.fromisoformat(back.created_at)) == ["1"]
    assert at(datetime.now(timezone.utc) + timedelta(days=1)) == ["1"]


def test_aliases_that_are_elsewhere(ledger):
    registry = FakeRegistry()
    assert check_aliases("m", ledger=ledger, registry=registry) == []
    moved(ledger, "dev", "1")
    (gone,) = check_aliases("m", ledger=ledger, registry=registry)
    assert (gone["expected"], gone["found"]) == ("1", None)
    registry.create_model("m")
    for _ in range(2):
        registry.create_version("m", model_uri="s3://x", run_id=None, tags={})
    registry.set_alias("m", "dev", "2")
    registry.set_alias("m", "production", "2")
    registry.set_alias("m", "challenger", "1")  # not an environment: nobody's business
    found = check_aliases("m", ledger=ledger, registry=registry)
    assert [(d["environment"], d["expected"], d["found"]) for d in found] == [
        ("dev", "1", "2"),
        ("production", None, "2"),
    ]
    assert "was moved outside Airflow" in found[0]["sentence"]


def test_reading_needs_only_the_file(parquet):
    """A Parquet file is read by its own name, whatever signs the name has."""
    odd = Path(str(parquet).replace("predictions", "it's [1] *"))
    parquet.rename(odd)
    assert judged(Ledger(memory_store()), odd, AUC).verdict is Verdict.PASS
