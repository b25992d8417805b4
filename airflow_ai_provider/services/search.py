"""Hyperparameter search with Optuna: one study for each model, whose trials are Airflow's tasks.

The study lies beside the store: on PostgreSQL in a schema of its own, with SQLite in a file of its
own, since Optuna keeps tables and migrations that are not ours. A trial carries the task that runs
it, so that a task which comes again, cleared or retried, finds its trial instead of making another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SAMPLERS = ("tpe", "cmaes", "nsgaii", "random")
PRUNERS = ("median", "halving", "hyperband", "none")
DIRECTIONS = ("minimize", "maximize")
SCHEMA = "airflow_ai_search"
_TASK, _SLOT, _LEASE, _RESULT = "airflow_task", "airflow_slot", "gpu_lease", "result"
_PATIENCE = 60  # seconds to wait for SQLite, which has one writer

Objective = Callable[..., "float | Mapping[str, Any]"]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is searched for and how; ``url`` is that of our store."""

    model_name: str
    url: str = field(repr=False)
    direction: str = "minimize"
    sampler: str = "tpe"
    pruner: str = "median"
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("direction", DIRECTIONS),
            ("sampler", SAMPLERS),
            ("pruner", PRUNERS),
        ):
            if getattr(self, name) not in known:
                raise SearchError(
                    f"{name}={getattr(self, name)!r} means nothing.",
                    remedy=f"Use one of {', '.join(known)}.",
                )


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
        found = [t for t in self._mine(study) if t.user_attrs[_SLOT] == slot]
        over = [t for t in found if t.state.name in {"COMPLETE", "PRUNED"}]
        if over:
            return _told(over[-1])
        going = [t for t in found if t.state.name == "RUNNING"] or [self._add(study, slot)]
        number = going[-1].number
        trial = optuna.trial.Trial(study, going[-1]._trial_id)
        if lease := os.environ.get(LEASE_VARIABLE):
            trial.set_user_attr(_LEASE, lease)
        try:
            returned = objective(trial, **(arguments or {}))
            value, rest = _value(returned, number)
        except optuna.TrialPruned:
            return _told(study.tell(number, state=optuna.trial.TrialState.PRUNED))
        except SearchError:
            self._fail(study, going[-1])
            raise
        except Exception:
            if last_try:
                self._fail(study, going[-1])
            raise
        trial.set_user_attr(_RESULT, rest)
        return _told(study.tell(number, value))

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
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction: Any = self.settings.direction
        return optuna.create_study(
            study_name=self.settings.model_name,
            storage=self._storage,
            direction=direction,
            sampler=self._sampler(slot),
            pruner=self._pruner(),
            load_if_exists=True,
        )

    @cached_property
    def _storage(self) -> Any:
        from optuna.storages import RDBStorage
        from sqlalchemy import create_engine, make_url, text

        url = make_url(self.settings.url)
        if url.get_backend_name() == "sqlite":
            if url.database in (None, "", ":memory:"):
                raise SearchError(
                    "A store in memory keeps no study.", remedy="Use a file or PostgreSQL."
                )
            path = Path(str(url.database))
            beside = url.set(database=str(path.with_name(f"{path.stem}_search{path.suffix}")))
            patient = {"connect_args": {"timeout": _PATIENCE}}
            return RDBStorage(beside.render_as_string(hide_password=False), engine_kwargs=patient)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"),
                               {"name": SCHEMA})  # fmt: skip
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        engine.dispose()
        own = {"connect_args": {"options": f"-csearch_path={SCHEMA}"}}
        return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=own)

    def _sampler(self, slot: int) -> Any:
        from optuna import samplers

        # each trial is a process of its own: with one seed all would draw the same
        seed = None if self.settings.seed is None else self.settings.seed + slot
        made: dict[str, Callable[[], Any]] = {
            # others run at the same time: away from where they look
            "tpe": lambda: samplers.TPESampler(seed=seed, constant_liar=True),
            "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            "nsgaii": lambda: samplers.NSGAIISampler(seed=seed),
            "random": lambda: samplers.RandomSampler(seed=seed),
        }
        return made[self.settings.sampler]()

    def _pruner(self) -> Any:
        from optuna import pruners

        made: dict[str, Callable[[], Any]] = {
            "median": pruners.MedianPruner,
            "halving": pruners.SuccessiveHalvingPruner,
            "hyperband": pruners.HyperbandPruner,
            "none": pruners.NopPruner,
        }
        return made[self.settings.pruner]()

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
