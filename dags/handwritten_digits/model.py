"""Train candidates that read handwritten digits, and judge them on digits they have not seen.

    train(candidate, *, landing, evaluations, tracking_uri, gates=(), seed=0,
          model_name="handwritten_digits", only=()) -> evidence
    CANDIDATES: "logistic", "svc"
    PARTITION: "digits/all", the data set and partition under which the digits pass their data gate

``evidence`` is the dict that ``ModelGateOperator`` takes, for several classes: the predictions have
``label``, ``prediction`` and ``reference`` (the most frequent digit of the training rows). The data
is scikit-learn's, so ``data.own`` is false, and the exit criterion ``own_data_results`` keeps this
pilot out of production.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError, EvidenceError
from experiments import tracking

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from sklearn.pipeline import Pipeline

MODEL_NAME = "handwritten_digits"
CANDIDATES = ("logistic", "svc")
PARTITION = "digits/all"
HELD_OUT = 0.3


def make(candidate: str, seed: int = 0) -> Pipeline:
    """A candidate, untrained."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVC

    if candidate not in CANDIDATES:
        raise EvidenceError(
            f"There is no candidate {candidate!r}.", remedy=f"Choose from {', '.join(CANDIDATES)}."
        )
    if candidate == "svc":
        return make_pipeline(MinMaxScaler(), SVC(random_state=seed))
    return make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000, random_state=seed))


def train(
    candidate: str,
    *,
    landing: str | Path,
    evaluations: str | Path,
    tracking_uri: str,
    gates: Sequence[str] = (),
    seed: int = 0,
    model_name: str = MODEL_NAME,
    only: Sequence[int] = (),
) -> dict[str, Any]:
    """Train on seven tenths of the digits, judge on the rest, record the model in MLflow.

    ``only`` names the digits that there are at all; none means all ten.

    ``gates`` are the ids of the data gate's records that let the digits pass. The split is the
    same for every candidate and seed.
    """
    model = make(candidate, seed)
    tracking.require_server(tracking_uri)
    path = Path(landing) / "digits" / "digits.parquet"
    train_rows, held_out = _split(path, only)
    inputs = [name for name in train_rows if name.startswith("pixel_")]
    with tracking.one_thread():
        costs = _fit(model, train_rows[inputs], train_rows["label"])
        held_out["prediction"] = model.predict(held_out[inputs])
        held_out["reference"] = train_rows["label"].mode()[0]
        logged = tracking.log_candidate(
            model,
            train_rows[inputs],
            tracking_uri=tracking_uri,
            experiment=model_name,
            run_name=candidate,
            params={"candidate": candidate, "seed": seed, "held_out": HELD_OUT, "only": list(only)},
            metrics=costs,
            tags={"candidate": candidate},
            predict="predict",
        )
    target = Path(evaluations) / model_name / f"{candidate}-{logged.run_id}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    held_out[["label", "prediction", "reference"]].to_parquet(target, index=False)
    right = {name: held_out["label"] == held_out[name] for name in ("prediction", "reference")}
    tracking.log_results(
        logged.run_id,
        tracking_uri=tracking_uri,
        metrics={
            "accuracy": float(right["prediction"].mean()),
            "reference_accuracy": float(right["reference"].mean()),
        },
        files=[target],
    )
    return {
        "model_name": model_name,
        "run_id": logged.run_id,
        "model_uri": logged.model_uri,
        "version": None,
        "candidate": candidate,
        "predictions": str(target),
        "label": "label",
        "score": "prediction",
        "reference": "reference",
        "reference_kind": "baseline",
        "reference_version": None,
        "group": None,
        "slices": [],
        "data": {
            "name": PARTITION,
            "own": False,
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rows": len(held_out),
        },
        "training": {
            "partitions": [PARTITION],
            "through": None,
            "gates": list(gates),
            "rows": len(train_rows),
            "lease": tracking.lease(),
            "seed": seed,
            "code": tracking.code_digest(__file__),
        },
        "costs": costs,
    }


def _fit(model: Pipeline, inputs: DataFrame, labels: Series) -> dict[str, float]:
    """Train ``model`` and return what it cost."""
    start = time.process_time()
    model.fit(inputs, labels)
    return {
        "train_cpu_s": round(time.process_time() - start, 3),
        "p95_ms_per_1000": tracking.latency_ms(model.predict, inputs),
        "size_bytes": tracking.size_bytes(model),
    }


def _split(path: Path, only: Sequence[int] = ()) -> tuple[DataFrame, DataFrame]:
    """The rows to train on and those held out, every digit in the same share of both.

    :raises DataReadError: the digits have not been delivered.
    """
    import pandas
    from sklearn.model_selection import train_test_split

    if not path.is_file():
        raise DataReadError(
            f"{path} has not been delivered.",
            remedy="Deliver it first: handwritten_digits.data.deliver_digits(landing).",
            path=str(path),
        )
    rows = pandas.read_parquet(path)
    if only:
        rows = rows[rows["label"].isin(list(only))]
    rows = rows.astype({name: "float32" for name in rows if name != "label"})
    train_rows, held_out = train_test_split(
        rows, test_size=HELD_OUT, stratify=rows["label"], random_state=0
    )
    return train_rows, held_out.copy()
