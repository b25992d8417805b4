"""Train candidates for "which digit is written here", and judge them on digits held out.

    train(candidate, *, landing, evaluations, tracking_uri, gates=(), seed=0) -> evidence

The digits are scikit-learn's, which are public: a result on them promises nothing about documents
of one's own. ``evidence["data"]["own"]`` says so, and the project's exit criteria ask for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from experiments import tracking
from flight_delays.data import connect, digest, digits_path, parquet, write

MODEL_NAME = "handwritten_digits"
CANDIDATES = ("logistic", "svc")
HELD_OUT = 0.3


def make(candidate: str, seed: int = 0) -> Any:
    """A candidate, untrained."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if candidate not in CANDIDATES:
        raise EvidenceError(
            f"There is no candidate {candidate!r}.", remedy=f"Choose from {', '.join(CANDIDATES)}."
        )
    if candidate == "svc":
        return make_pipeline(SVC(gamma=0.001, C=10.0, random_state=seed))
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, random_state=seed))


def train(
    candidate: str,
    *,
    landing: str | Path,
    evaluations: str | Path,
    tracking_uri: str,
    gates: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Train on part of the digits, record the model in MLflow, and judge it on the rest."""
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import train_test_split

    source = digits_path(landing)
    with connect() as connection:
        digits = connection.execute(f"SELECT * FROM {parquet(source)}").df()
    digits["row_id"] = range(len(digits))
    pixels = [name for name in digits.columns if name.startswith("pixel_")]
    known, judged = train_test_split(
        digits, test_size=HELD_OUT, random_state=seed, stratify=digits["label"]
    )
    model = make(candidate, seed)
    with tracking.one_thread():
        start = time.process_time()
        model.fit(known[pixels], known["label"])
        costs = {
            "train_cpu_s": round(time.process_time() - start, 2),
            "p95_ms_per_1000": tracking.latency_ms(model.predict, known[pixels]),
            "size_bytes": tracking.size_bytes(model),
        }
        logged = tracking.log_candidate(
            model,
            known[pixels],
            tracking_uri=tracking_uri,
            experiment=MODEL_NAME,
            run_name=candidate,
            params={"candidate": candidate, "seed": seed},
            metrics={**costs, "train_rows": len(known)},
            tags={"candidate": candidate},
        )
        rows = judged[["row_id", "label"]].assign(
            prediction=model.predict(judged[pixels]), reference=int(known["label"].mode()[0])
        )
    target = Path(evaluations) / MODEL_NAME / f"{candidate}-{logged.run_id}.parquet"
    with connect() as connection:
        connection.register("judged", rows)
        write(connection, "SELECT row_id, label, prediction, reference FROM judged", target)
    tracking.log_results(
        logged.run_id,
        tracking_uri=tracking_uri,
        metrics={"accuracy": float(accuracy_score(rows["label"], rows["prediction"]))},
        files=[target],
    )
    return {
        "model_name": MODEL_NAME,
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
            "name": "digits/all, held out",
            "own": False,
            "digest": digest(source),
            "rows": len(rows),
        },
        "training": {
            "partitions": ["digits/all"],
            "through": None,
            "gates": list(gates),
            "rows": len(known),
            "lease": tracking.lease(),
            "seed": seed,
            "code": tracking.code_digest(__file__),
        },
        "costs": costs,
    }
