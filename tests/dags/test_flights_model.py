"""Training on a few days of each month; the figures mean nothing here, the shapes do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.core.errors import DataReadError, EvidenceError, RegistryUnavailableError
from airflow_ai_provider.services.promotion import measure_evidence
from flight_delays import data, features, model, scoring
from handwritten_digits import model as digits

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def home(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's home with the first days of each month, and an MLflow that keeps to it."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("home")
    for month in (1, 2, 3):
        path = data.month_path(folder / "landing", month)
        few = f"SELECT * FROM {data.parquet(data.month_path(landing, month))} WHERE day <= 4"
        with data.connect() as connection:
            data.write(connection, few, path)
    for name in data.REFERENCES:
        (folder / "landing" / f"{name}.parquet").symlink_to(landing / f"{name}.parquet")
    (folder / "landing" / "digits").symlink_to(landing / "digits")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for name in (model.MODEL_NAME, digits.MODEL_NAME):
        client.create_experiment(name, artifact_location=str(folder / "artifacts" / name))
    return folder


@pytest.fixture
def places(home: Path) -> dict[str, Any]:
    return {
        "landing": home / "landing",
        "features": home / "features",
        "evaluations": home / "evaluations",
        "tracking_uri": f"sqlite:///{home / 'mlflow.db'}",
    }


@pytest.fixture(scope="module")
def trained(home: Path) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_AI_GPU_LEASE", "lease-1:7")
        yield model.train(
            "boosting",
            train_months=[1, "2013-02"],
            judge_month="flights/2013-03",
            landing=home / "landing",
            features=home / "features",
            evaluations=home / "evaluations",
            tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
            gates=["record-1", "record-2"],
        )


def rows(query: str) -> list[dict[str, Any]]:
    found = duckdb.execute(query if query.startswith("SELECT") else f"SELECT * FROM '{query}'")
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_the_evidence_says_what_was_trained_on_what_and_under_which_lease(
    trained: dict[str, Any], home: Path
) -> None:
    assert json.loads(json.dumps(trained)) == trained
    assert trained["model_uri"].startswith("models:/")
    assert trained["version"] is None
    training = trained["training"]
    assert training["partitions"] == ["flights/2013-01", "flights/2013-02"]
    assert training["through"] == "2013-02-04"
    assert training["gates"] == ["record-1", "record-2"]
    assert training["lease"] == "lease-1:7"
    assert trained["data"]["name"] == "flights/2013-03"
    assert trained["data"]["own"] is True
    assert trained["data"]["digest"] == data.digest(data.month_path(home / "landing", 3))
    assert set(trained["costs"]) == {"p95_ms_per_1000", "size_bytes", "train_cpu_s"}
    assert all(cost > 0 for cost in trained["costs"].values())


def test_mlflow_has_the_run_with_its_lease_its_figures_and_its_evaluation(
    trained: dict[str, Any], places: dict[str, Any]
) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(places["tracking_uri"])
    run = client.get_run(trained["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["gpu_lease"] == "lease-1:7"
    assert {"roc_auc", "log_loss", "ece", "reference_roc_auc"} <= set(run.data.metrics)
    (kept,) = client.list_artifacts(trained["run_id"], "evaluation")
    assert kept.path == f"evaluation/{Path(trained['predictions']).name}"


def test_the_judged_rows_are_the_flights_that_arrived(trained: dict[str, Any]) -> None:
    judged = rows(trained["predictions"])
    wanted = ["flight_id", "day", "carrier", "origin", "label", "score", "reference"]
    assert list(judged[0]) == wanted
    assert len(judged) == trained["data"]["rows"] == len({row["flight_id"] for row in judged})
    assert {row["label"] for row in judged} == {0, 1}
    assert all(0 < row["score"] < 1 and 0 <= row["reference"] <= 1 for row in judged)
    assert 0.9 < trained["data"]["coverage"] < 1


def test_the_model_is_called_again_and_what_it_needs_is_found_on_rows_it_never_saw(
    trained: dict[str, Any], places: dict[str, Any]
) -> None:
    found = measure_evidence(
        trained,
        inputs=trained["inputs"],
        environment={"MLFLOW_TRACKING_URI": places["tracking_uri"]},
    )
    assert found["measured"]["loads"], found["measured"]
    assert 1000 <= found["measured"]["rows"] < 2000
    assert found["costs"]["p95_ms_per_1000"] > 0
    assert found["costs"]["train_cpu_s"] == trained["costs"]["train_cpu_s"]
    judged = model.evaluate(found, judge_month=3, **places)
    assert set(judged["measured"]["importance"]) == set(features.FEATURES)
    assert judged["measured"]["loads"]
    assert "measured" not in trained, "nobody measured it then"


def test_a_candidate_is_never_judged_on_what_it_was_trained_on(
    trained: dict[str, Any], places: dict[str, Any]
) -> None:
    with pytest.raises(EvidenceError, match="was trained on 2013-02"):
        model.evaluate(trained, judge_month=2, **places)


def test_against_itself_as_champion_nothing_differs(
    trained: dict[str, Any], places: dict[str, Any]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(places["tracking_uri"])
    version = mlflow.register_model(trained["model_uri"], model.MODEL_NAME).version
    judged = model.evaluate(trained, judge_month=3, champion={"version": version}, **places)
    assert (judged["reference_kind"], judged["reference_version"]) == ("champion", str(version))
    assert all(row["score"] == row["reference"] for row in rows(judged["predictions"]))
    assert trained["reference_kind"] == "baseline", "the evidence that came in is not changed"


def test_every_flight_is_predicted_and_every_arrival_is_told_once(
    trained: dict[str, Any], places: dict[str, Any], home: Path
) -> None:
    del places["evaluations"]
    logged = scoring.score(
        version=1,
        month=3,
        predictions=home / "predictions",
        model_uri=trained["model_uri"],
        **places,
    )
    assert logged["path"] == str(home / "predictions" / "flight_delays" / "1" / "2013-03.parquet")
    log = f"SELECT * REPLACE (epoch(predicted_at) AS predicted_at) FROM '{logged['path']}'"
    predicted = {row["prediction_id"]: row for row in rows(log)}
    assert len(predicted) == logged["rows"]
    told = scoring.outcomes(month=3, landing=home / "landing", outcomes=home / "outcomes")
    records = [json.loads(line) for line in Path(told["path"]).read_text().splitlines()]
    assert len(records) == told["rows"] == trained["data"]["rows"]
    assert len(predicted) - len(records) == told["no_arrival"] > 0
    assert told["coverage"] == trained["data"]["coverage"]
    assert len({record["feedback_id"] for record in records}) == len(records)
    labels = {row["flight_id"]: row["label"] for row in rows(trained["predictions"])}
    assert {record["prediction_id"]: record["label"] for record in records} == labels
    for record in records:
        prediction = predicted[record["prediction_id"]]
        observed_at = datetime.fromisoformat(record["observed_at"].replace("Z", "+00:00"))
        assert observed_at.timestamp() > prediction["predicted_at"]
        assert record["source_kind"] == "outcome"
        assert record["partition"] == prediction["partition"] == "2013-03"


def test_the_baseline_falls_back_from_hour_to_carrier_to_all() -> None:
    import pandas

    seen = pandas.DataFrame(
        {
            "carrier": ["UA", "UA", "UA", "DL"],
            "scheduled_hour": [8, 8, 9, 8],
            "label": [1, 0, 1, 0],
        }
    )
    asked = pandas.DataFrame({"carrier": ["UA", "UA", "ZZ"], "scheduled_hour": [8, 20, 8]})
    assert model.baseline(seen, asked).tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2])


@pytest.mark.parametrize("candidate", ["logistic", "schedule_only"])
def test_the_other_candidates_train_too(candidate: str, places: dict[str, Any]) -> None:
    evidence = model.train(candidate, train_months=[1], **places)
    assert evidence["predictions"] is None
    assert evidence["candidate"] == candidate
    known = list(model.CANDIDATES[candidate])
    assert known == list(features.SCHEDULE if candidate == "schedule_only" else features.FEATURES)


@pytest.mark.parametrize("candidate", digits.CANDIDATES)
def test_the_digits_beat_the_most_frequent_class_on_public_data(
    candidate: str, home: Path, places: dict[str, Any]
) -> None:
    del places["features"]
    evidence = digits.train(candidate, gates=["record-3"], **places)
    assert json.loads(json.dumps(evidence)) == evidence
    assert evidence["data"]["own"] is False
    assert evidence["training"]["partitions"] == ["digits/all"]
    judged = rows(evidence["predictions"])
    assert len(judged) == 540
    right = sum(row["label"] == row[evidence["score"]] for row in judged)
    baseline = sum(row["label"] == row["reference"] for row in judged)
    assert right > 0.9 * len(judged) > 0.2 * len(judged) > baseline
    with pytest.raises(DataReadError, match="digits"):
        digits.train(candidate, **{**places, "landing": home / "nowhere"})


def test_an_unknown_candidate_is_refused_before_anything_is_read(places: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError, match="boosting"):
        model.train("forest", train_months=[1], **places)


def test_an_mlflow_that_does_not_answer_is_said_before_the_training(places: dict[str, Any]) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RegistryUnavailableError, match="does not answer") as refused:
            model.train("boosting", train_months=[1], **{**places, "tracking_uri": uri})
    assert uri in str(refused.value)


def test_a_trial_of_the_search_is_judged_on_a_later_month(places: dict[str, Any]) -> None:
    from optuna.trial import FixedTrial

    from flight_delays.search import objective

    fixed = {"learning_rate": 0.1, "max_leaf_nodes": 8, "l2_regularization": 1.0}
    where = {"landing": places["landing"], "features": places["features"], "rounds": 8}
    loss = objective(FixedTrial(fixed), train_months=[1], judge_month=2, **where)
    assert 0 < loss < 1
    with pytest.raises(ValueError, match="is trained on"):
        objective(FixedTrial(fixed), train_months=[1, 2], judge_month=2, **where)
