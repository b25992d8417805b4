"""Train candidates for "will this flight arrive 15 minutes late or more", and judge them.

    train(candidate, *, train_months, judge_month=None, landing, features, evaluations,
          tracking_uri, gates=(), seed=0, model_name="flight_delays") -> evidence
    evaluate(evidence, *, judge_month, champion=None, landing, features, evaluations,
          tracking_uri) -> evidence, now with its predictions on that month
    CANDIDATES: "boosting", "logistic", "schedule_only"

``evidence`` is the dict that ``ModelGateOperator`` takes. Months are numbers or partitions
(``4``, ``"2013-04"``, ``"flights/2013-04"``). With ``judge_month`` a training is judged at once,
against the baseline; without, ``evidence["predictions"]`` is null until :func:`evaluate` is called:
in production, when the month's outcomes are in. ``champion`` is what
``ModelRegistryHook.champion(name)`` returns, a dict with ``version``; without one the reference is
the baseline: how often the carrier was late at that hour of the day in the training months.

The judged month is never among the training months; that is refused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import EvidenceError
from experiments import tracking
from flight_delays.data import DATASET, connect, digest, month_of, month_path, partition_of, write
from flight_delays.features import CATEGORIES, FEATURES, SCHEDULE, load

if TYPE_CHECKING:
    from numpy import ndarray
    from pandas import DataFrame
    from sklearn.pipeline import Pipeline

MODEL_NAME = "flight_delays"
CANDIDATES = {"boosting": FEATURES, "logistic": FEATURES, "schedule_only": SCHEDULE}


def make(candidate: str, seed: int = 0) -> Pipeline:
    """A candidate, untrained. Flight number, tail number and month are not among its inputs."""
    if candidate not in CANDIDATES:
        raise EvidenceError(
            f"There is no candidate {candidate!r}.", remedy=f"Choose from {', '.join(CANDIDATES)}."
        )
    return _logistic(seed) if candidate == "logistic" else _boosting(seed)


def _boosting(seed: int) -> Pipeline:
    import numpy
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=numpy.nan, dtype=numpy.float32
    )
    return make_pipeline(
        make_column_transformer((codes, list(CATEGORIES)), remainder="passthrough"),
        HistGradientBoostingClassifier(
            max_iter=200,
            learning_rate=0.05,
            categorical_features=list(range(len(CATEGORIES))),
            early_stopping=False,
            random_state=seed,
        ),
    )


def _logistic(seed: int) -> Pipeline:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name in FEATURES if name not in CATEGORIES]
    filled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), list(CATEGORIES)),
            (filled, numbers),
        ),
        LogisticRegression(max_iter=1000, random_state=seed),
    )


def train(
    candidate: str,
    *,
    train_months: Sequence[int | str],
    judge_month: int | str | None = None,
    landing: str | Path,
    features: str | Path,
    evaluations: str | Path,
    tracking_uri: str,
    gates: Sequence[str] = (),
    seed: int = 0,
    model_name: str = MODEL_NAME,
) -> dict[str, Any]:
    """Train on whole months, record the model in MLflow, and judge it when a month is named.

    ``gates`` are the ids of the data gate's records that let the training months pass.
    """
    model, months = make(candidate, seed), sorted(map(month_of, train_months))
    partitions = [f"{DATASET}/{partition_of(month)}" for month in months]
    tracking.require_server(tracking_uri)
    with tracking.one_thread():
        rows = _arrived(load(months, landing, features))
        costs = _fit(model, rows, list(CANDIDATES[candidate]))
        logged = tracking.log_candidate(
            model,
            rows[list(model.feature_names_in_)],
            tracking_uri=tracking_uri,
            experiment=model_name,
            run_name=f"{candidate} {partition_of(months[0])}..{partition_of(months[-1])}",
            params={"candidate": candidate, "seed": seed, "partitions": ",".join(partitions)},
            metrics={**costs, "train_rows": len(rows)},
            tags={"candidate": candidate},
        )
        shown = Path(evaluations).parent / "inputs" / model_name / f"{logged.run_id}.parquet"
        _sample(rows[list(model.feature_names_in_)], shown)
    evidence = {
        "model_name": model_name,
        "run_id": logged.run_id,
        "model_uri": logged.model_uri,
        "version": None,
        "candidate": candidate,
        "inputs": str(shown),
        "predictions": None,
        "training": {
            "partitions": partitions,
            "through": rows["day"].max().date().isoformat(),
            "gates": list(gates),
            "rows": len(rows),
            "lease": tracking.lease(),
            "seed": seed,
            "code": tracking.code_digest(__file__),
        },
        "costs": costs,
    }
    if judge_month is None:
        return evidence
    return evaluate(
        evidence,
        judge_month=judge_month,
        landing=landing,
        features=features,
        evaluations=evaluations,
        tracking_uri=tracking_uri,
        model=model,
    )


def _fit(model: Pipeline, rows: DataFrame, inputs: list[str]) -> dict[str, float]:
    """Train ``model`` and return what it cost."""
    start = time.process_time()
    model.fit(rows[inputs], rows["label"])
    return {
        "train_cpu_s": round(time.process_time() - start, 2),
        "p95_ms_per_1000": tracking.latency_ms(model.predict_proba, rows[inputs]),
        "size_bytes": tracking.size_bytes(model),
    }


def evaluate(
    evidence: Mapping[str, Any],
    *,
    judge_month: int | str,
    champion: Mapping[str, Any] | None = None,
    landing: str | Path,
    features: str | Path,
    evaluations: str | Path,
    tracking_uri: str,
    model: Pipeline | None = None,
) -> dict[str, Any]:
    """Score candidate and reference on one held-out month; return the evidence for the gate.

    Only flights that arrived are judged; how many did is ``data.coverage``.
    """
    month, trained = month_of(judge_month), evidence["training"]["partitions"]
    if month in map(month_of, trained):
        raise EvidenceError(
            f"{evidence['candidate']} was trained on {partition_of(month)}.",
            remedy="Judge it on a later month.",
            run_id=evidence["run_id"],
        )
    with tracking.one_thread():
        delivered = load([month], landing, features)
        rows = _arrived(delivered)
        model = model or tracking.load_model(evidence["model_uri"], tracking_uri)
        rows["score"] = probabilities(model, rows)
        if champion is None:
            rows["reference"] = baseline(_arrived(load(trained, landing, features)), rows)
        else:
            uri = f"models:/{evidence['model_name']}/{champion['version']}"
            rows["reference"] = probabilities(tracking.load_model(uri, tracking_uri), rows)
        measured = dict(evidence.get("measured") or {})
        if measured:  # what the model needs is found on rows that it never saw
            from airflow_ai_provider.core.promotion.importance import permutation_importance

            measured["importance"] = permutation_importance(
                lambda shown: probabilities(model, shown),
                rows[list(model.feature_names_in_)],
                rows["label"],
            )
    name = f"{evidence['candidate']}-{evidence['run_id']}.parquet"
    target = Path(evaluations) / evidence["model_name"] / partition_of(month) / name
    _keep(rows, target)
    tracking.log_results(
        evidence["run_id"],
        tracking_uri=tracking_uri,
        metrics={**metrics(rows, "score"), **metrics(rows, "reference", prefix="reference_")},
        files=[target],
    )
    return {
        **evidence,
        "predictions": str(target),
        **({"measured": measured} if measured else {}),
        "label": "label",
        "score": "score",
        "reference": "reference",
        "reference_kind": "champion" if champion else "baseline",
        "reference_version": str(champion["version"]) if champion else None,
        "group": "day",
        "slices": ["carrier", "origin"],
        "data": {
            "name": f"{DATASET}/{partition_of(month)}",
            "own": True,
            "digest": digest(month_path(landing, month)),
            "rows": len(rows),
            "coverage": round(len(rows) / len(delivered), 4),
        },
    }


def _arrived(rows: DataFrame) -> DataFrame:
    return rows[rows["label"].notna()].astype({"label": "int64"})


def _keep(rows: DataFrame, target: Path) -> None:
    with connect() as connection:
        connection.register("judged", rows)
        write(
            connection,
            "SELECT flight_id, day::DATE AS day, carrier, origin, label, score, reference"
            " FROM judged",
            target,
        )


def _sample(rows: DataFrame, target: Path) -> None:
    """Write some of the rows that the model was shown, to call it with again."""
    with connect() as connection:
        connection.register("sampled", rows.iloc[:: max(len(rows) // 1000, 1)])
        write(connection, "FROM sampled", target)


def probabilities(model: Pipeline, rows: DataFrame) -> ndarray:
    """Each row's probability of arriving late, from the inputs that the model was trained on."""
    return model.predict_proba(rows[list(model.feature_names_in_)])[:, 1]


def baseline(train: DataFrame, rows: DataFrame) -> ndarray:
    """How often the carrier was late at that hour; where unseen, the carrier's rate, or all's."""
    by_hour = train.groupby(["carrier", "scheduled_hour"])["label"].mean().rename("rate")
    rate = rows.join(by_hour, on=["carrier", "scheduled_hour"])["rate"]
    carrier = rows["carrier"].map(train.groupby("carrier")["label"].mean())
    return rate.fillna(carrier).fillna(train["label"].mean()).to_numpy(dtype="float64")


def metrics(rows: DataFrame, score: str, prefix: str = "") -> dict[str, float]:
    """What MLflow shows of a run; the gate computes its own from the predictions."""
    from sklearn.metrics import log_loss, roc_auc_score

    label = rows["label"]
    order = rows.sort_values(score, kind="stable")[["label", score]].reset_index(drop=True)
    bins = order.groupby(order.index * 10 // len(order)).mean()  # of equal count
    return {
        f"{prefix}roc_auc": float(roc_auc_score(label, rows[score])),
        f"{prefix}log_loss": float(log_loss(label, rows[score])),
        f"{prefix}ece": float((bins["label"] - bins[score]).abs().mean()),
    }
