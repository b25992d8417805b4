"""Search for better settings of the candidate "boosting": an objective for the group ``search``.

    from airflow_ai_provider.task_groups.search import search

    best = search(
        objective, model_name="flight_delays", trials=30, sampler="cmaes", gpus=1, phase="pilot",
        arguments={"train_months": [1, 2], "judge_month": 3, "landing": ..., "features": ...},
    )
    # then, where the candidate is trained: make("boosting").set_params(**settings(best["params"]))

The demo does not search: its settings are the defaults of ``model.make``. The month that trials are
judged on is used up: judge the winner on a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import tracking
from flight_delays.data import month_of
from flight_delays.features import FEATURES, load
from flight_delays.model import make, probabilities

STAGES = 4  # after each the trial may be given up


def objective(
    trial: Any,
    *,
    train_months: Sequence[int | str],
    judge_month: int | str,
    landing: str | Path,
    features: str | Path,
    rounds: int = 200,
) -> float:
    """The log loss on a month that was not trained on, after ``rounds`` rounds of boosting."""
    import optuna
    from sklearn.metrics import log_loss

    tuned = {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 8, 128, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-3, 10.0, log=True),
    }
    model = make("boosting").set_params(**settings(tuned), **settings({"warm_start": True}))
    months = sorted(map(month_of, train_months))
    if month_of(judge_month) in months:
        raise ValueError(f"Month {judge_month} is trained on; judge on another.")
    loss = float("nan")
    with tracking.one_thread():
        rows, judged = (_known(load(m, landing, features)) for m in (months, [judge_month]))
        for stage in range(1, STAGES + 1):
            model.set_params(**settings({"max_iter": rounds * stage // STAGES}))
            model.fit(rows[list(FEATURES)], rows["label"])
            loss = float(log_loss(judged["label"], probabilities(model, judged)))
            trial.report(loss, stage)
            if trial.should_prune():
                raise optuna.TrialPruned
    return loss


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as the pipeline names them."""
    return {f"histgradientboostingclassifier__{name}": value for name, value in params.items()}


def _known(rows: Any) -> Any:
    return rows[rows["label"].notna()].astype({"label": "int64"})
