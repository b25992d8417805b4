"""Hyperparameter search with Optuna: one study for each model, whose trials are Airflow's tasks.

The study lies beside the store: on PostgreSQL in a schema of its own, with SQLite in a file of its
own, since Optuna keeps tables and migrations that are not ours. A trial carries the task that runs
it, so that a task which comes again, cleared or retried, finds its trial instead of making another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE
from airflow_ai_provider.core.search_space import Dimension
from airflow_ai_provider.services.search_study import (
    SearchSettings,
    check_reach,
    open_storage,
    open_study,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

_TASK, _SLOT, _LEASE, _RESULT = "airflow_task", "airflow_slot", "gpu_lease", "result"

Objective = Callable[..., "float | Mapping[str, Any]"]


class Search:
    """The study of one model; ``task`` names the mapped task of one run that makes its trials."""

    def __init__(self, settings: SearchSettings, *, task: str) -> None:
        self.settings = settings
        self.task = task

    def begin(self, ended: Callable[[Sequence[str]], set[str]] = lambda _: set()) -> None:
        """Make the study unless it is there, and mark trials failed whose lease has ended.

        ``ended`` says which of the marks of leases are of such that have ended.

        :raises SearchError: there is a study of the model that goes another way.
        """
        check_reach(self.settings)
        study = self._study()
        if study.direction.name.lower() != self.settings.direction:
            raise SearchError(
                f"The study of {self.settings.model_name} is to {study.direction.name.lower()}, "
                f"not to {self.settings.direction}.",
                remedy="Search under another model_name, or correct the direction.",
            )
        running = [t for t in self._trials(study, "RUNNING") if _LEASE in t.user_attrs]
        over = ended([trial.user_attrs[_LEASE] for trial in running])
        for trial in running:
            if trial.user_attrs[_LEASE] in over:
                self._fail(study, trial)

    def run(
        self,
        objective: Objective,
        slot: int,
        *,
        arguments: Mapping[str, Any] | None = None,
        last_try: bool = True,
    ) -> dict[str, Any]:
        """Run the trial of ``slot``, or go on with it; one that has ended is told again.

        An error of the objective fails the trial at its last try only: the next goes on with it.

        :raises SearchError: the objective returns no finite number.
        """
        import optuna

        study = self._study(slot)
        going, is_over = self._at(study, slot)
        if is_over:
            return _told(going)
        number = going.number
        trial = optuna.trial.Trial(study, going._trial_id)
        if lease := os.environ.get(LEASE_VARIABLE):
            trial.set_user_attr(_LEASE, lease)
        try:
            returned = objective(trial, **(arguments or {}))
            value, rest = _value(returned, number)
        except optuna.TrialPruned:
            return _told(study.tell(number, state=optuna.trial.TrialState.PRUNED))
        except SearchError:
            self._fail(study, going)
            raise
        except Exception:
            if last_try:
                self._fail(study, going)
            raise
        trial.set_user_attr(_RESULT, rest)
        return _told(study.tell(number, value))

    # --- a trial that runs elsewhere: asked about before, told after ------------------------------

    def told(self, slot: int) -> dict[str, Any] | None:
        """Return what came of the trial of ``slot``; None while it has not ended."""
        over = self._over(self._mine(self._study()), slot)
        return None if over is None else _told(over)

    def ask(
        self, slot: int, space: Sequence[Dimension], *, lease: str | None = None
    ) -> dict[str, Any]:
        """Begin the trial of ``slot``, or go on with it: its number, and its parameters.

        Where the trial is to reach the study itself, it also says how that is called.
        """
        import optuna

        study = self._study(slot)
        going, _ = self._at(study, slot)
        trial = optuna.trial.Trial(study, going._trial_id)
        if lease is not None:
            trial.set_user_attr(_LEASE, lease)
        params = {dimension.name: _suggest(trial, dimension) for dimension in space}
        asked: dict[str, Any] = {"number": going.number, "params": params}
        if self.settings.tells_pods:
            check_reach(self.settings)
            asked |= {"study": self.settings.model_name, "pruner": self.settings.pruning}
        return asked

    def tell(self, slot: int, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the study what ``search_trial.around`` says of the trial of ``slot``, once.

        :raises SearchError: it says no finite number.
        """
        import optuna

        study = self._study(slot)
        going, is_over = self._at(study, slot)
        if is_over:
            return _told(going)
        trial = optuna.trial.Trial(study, going._trial_id)
        for step, value in answer.get("reports") or ():
            trial.report(value, step)
        for name, value in (answer.get("attrs") or {}).items():
            trial.set_user_attr(name, value)
        if answer.get("pruned"):
            return _told(study.tell(going.number, state=optuna.trial.TrialState.PRUNED))
        try:
            value, _ = _value(answer.get("value"), going.number)
        except SearchError:
            self._fail(study, going)
            raise
        trial.set_user_attr(_RESULT, dict(answer.get("result") or {}))
        return _told(study.tell(going.number, value))

    def lose(self, slot: int) -> None:
        """Mark the trial of ``slot`` failed, if it has begun and not ended."""
        study = self._study()
        for trial in self._mine(study):
            if trial.user_attrs[_SLOT] == slot and trial.state.name == "RUNNING":
                self._fail(study, trial)

    def _at(self, study: Study, slot: int) -> tuple[FrozenTrial, bool]:
        """Return the trial of ``slot``, begun if there is none, and whether it has ended."""
        mine = self._mine(study)
        over = self._over(mine, slot)
        if over is not None:
            return over, True
        going = [t for t in mine if t.user_attrs[_SLOT] == slot and t.state.name == "RUNNING"]
        return (going[-1] if going else self._add(study, slot)), False

    def _over(self, mine: Sequence[FrozenTrial], slot: int) -> FrozenTrial | None:
        states = {"COMPLETE", "PRUNED"}
        found = [t for t in mine if t.user_attrs[_SLOT] == slot and t.state.name in states]
        return found[-1] if found else None

    def end(self) -> dict[str, Any]:
        """Return the best of the study; trials of this task that still run were killed, and fail.

        ``params`` are the best parameters, ``run`` is what evidence on a model trained with them
        says of its run.

        :raises SearchError: no trial of the study has come to its end.
        """
        study = self._study()
        for trial in self._mine(study):
            if trial.state.name == "RUNNING":
                self._fail(study, trial)
        mine = [trial.state.name.lower() for trial in self._mine(study)]
        if not self._trials(study, "COMPLETE"):
            raise SearchError(
                f"No trial of the study of {self.settings.model_name} came to its end: "
                f"{len(mine)} of this run did not.",
                remedy="Look at the logs of the trials.",
            )
        best = study.best_trial
        named = {"study": self.settings.model_name, "search_trial": str(best.number)}
        return {
            "study": self.settings.model_name,
            "trial": best.number,
            "value": best.value,
            "direction": self.settings.direction,
            "sampler": self.settings.sampler,
            "params": dict(best.params),
            "result": best.user_attrs.get(_RESULT) or {},
            "trials": {state: mine.count(state) for state in ("complete", "pruned", "fail")},
            "trials_of_study": len(study.get_trials(deepcopy=False)),
            "run": {
                "params": {**best.params, **named},
                "metrics": {"search_value": best.value},
            },
        }

    def _study(self, slot: int = 0) -> Study:
        return open_study(self.settings, self._storage, slot)

    @cached_property
    def _storage(self) -> Any:
        return open_storage(self.settings)

    def _add(self, study: Study, slot: int) -> FrozenTrial:
        """Begin a trial that is this task's from its first moment on."""
        from optuna.trial import TrialState, create_trial

        mine = {_TASK: self.task, _SLOT: slot}
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=mine))
        return next(
            t for t in reversed(self._mine(study))
            if t.user_attrs[_SLOT] == slot and t.state is TrialState.RUNNING
        )  # fmt: skip

    def _mine(self, study: Study) -> list[FrozenTrial]:
        return [t for t in study.get_trials() if t.user_attrs.get(_TASK) == self.task]

    def _trials(self, study: Study, state: str) -> list[FrozenTrial]:
        return [t for t in study.get_trials(deepcopy=False) if t.state.name == state]

    def _fail(self, study: Study, trial: FrozenTrial) -> None:
        from optuna.trial import TrialState

        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _suggest(trial: Trial, dimension: Dimension) -> Any:
    name, low, high = dimension.name, dimension.low, dimension.high
    if dimension.choices:
        return trial.suggest_categorical(name, dimension.choices)
    if dimension.is_whole:
        step = int(dimension.step or 1)
        return trial.suggest_int(name, int(low), int(high), step=step, log=dimension.log)
    return trial.suggest_float(name, low, high, step=dimension.step, log=dimension.log)


def _value(returned: Any, number: int) -> tuple[float, dict[str, Any]]:
    """Return the number that an objective returned, and what it said beside it."""
    rest: dict[str, Any] = {}
    value = returned
    if isinstance(returned, Mapping):
        rest = {name: one for name, one in returned.items() if name != "value"}
        value = returned.get("value")
    try:
        found = float(value)  # also numpy's
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise SearchError(
            f"The objective of trial {number} returned {value!r}, which is no finite number.",
            remedy='Return a number, or a dict with the number as "value".',
        )
    return found, rest


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "params": dict(trial.params),
        "result": trial.user_attrs.get(_RESULT) or {},
    }
