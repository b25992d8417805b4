"""A trial of a hyperparameter search as its objective meets it in a pod.

The parameters were asked of the study before the pod was made, and what the objective returns is
told to it afterwards: the study stays with the task. So neither Optuna nor a way to its database
need be there. Where the search prunes, both must be: then the trial is Optuna's own, on the study
in the database that the environment's ``AIRFLOW_AI_SEARCH_STORE`` names.

The file stands alone: its text is sent to the pod, where ``around`` makes the objective a function
that ``trainer`` can call.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

STORE = "AIRFLOW_AI_SEARCH_STORE"
SCHEMA = "airflow_ai_search"  # on PostgreSQL, where studies are
PRUNERS = {
    "median": "MedianPruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}


class GivenTrial:
    """Answers as Optuna's trial does, with parameters that were chosen before."""

    def __init__(self, number: int, params: Mapping[str, Any]) -> None:
        self.number = number
        self.params = dict(params)
        self.user_attrs: dict[str, Any] = {}
        self.reports: list[tuple[int, float]] = []

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the parameter ``name``."""
        return float(self._between(name, low, high))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the parameter ``name``."""
        return int(self._between(name, low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the parameter ``name``."""
        value = self._given(name)
        if value not in choices:
            raise ValueError(f"{name} is {value!r} by the search's space, and not in {choices!r}.")
        return value

    def report(self, value: float, step: int) -> None:
        """Keep an intermediate value; the study hears of it when the trial has ended."""
        self.reports.append((int(step), float(value)))

    def should_prune(self) -> bool:
        """Return False: nobody here knows of the other trials."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something of the trial; JSON takes it."""
        self.user_attrs[key] = value

    def _between(self, name: str, low: float, high: float) -> Any:
        value = self._given(name)
        if not low <= value <= high:
            raise ValueError(
                f"{name} is {value!r} by the search's space, and not from {low} to {high}."
            )
        return value

    def _given(self, name: str) -> Any:
        if name not in self.params:
            raise ValueError(f"{name} is not in the search's space; there is {list(self.params)}.")
        return self.params[name]


def around(objective: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return what runs ``objective`` and says in JSON's types what came of it."""

    def run(asked: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        own = _own(asked) if asked.get("study") else None
        given = GivenTrial(asked["number"], asked["params"])
        try:
            returned = objective(own or given, **arguments)
        except Exception as error:
            if type(error).__name__ != "TrialPruned":
                raise
            return {"pruned": True, "reports": given.reports, "attrs": given.user_attrs}
        rest = dict(returned) if isinstance(returned, Mapping) else {}
        value = rest.pop("value", None) if isinstance(returned, Mapping) else returned
        return {
            "value": _finite(value),
            "result": rest,
            "reports": given.reports,
            "attrs": given.user_attrs,
        }

    return run


def _finite(value: Any) -> float:
    try:
        found = float(value)  # also numpy's
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"The objective returned {value!r}, which is no finite number.")
    return found


def _own(asked: Mapping[str, Any]) -> Any:
    """Return Optuna's own trial, which was begun already."""
    url = os.environ.get(STORE, "")
    if not url:
        raise ValueError(
            f"The search prunes, and {STORE} does not say where its study is: "
            "give it to the pod from a Secret, or prune by nothing."
        )
    import optuna
    from optuna.storages import RDBStorage

    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    own = {"connect_args": {"options": f"-csearch_path={SCHEMA}"}}
    storage = RDBStorage(url, engine_kwargs=own)
    pruner = getattr(optuna.pruners, PRUNERS[asked["pruner"]])()
    study = optuna.load_study(study_name=asked["study"], storage=storage, pruner=pruner)
    number = storage.get_trial_id_from_study_id_trial_number(study._study_id, asked["number"])
    return optuna.trial.Trial(study, number)
