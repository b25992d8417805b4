"""Where a search's study is, how it samples, and how it prunes.

The study lies beside the store: on PostgreSQL in a schema of its own, with SQLite in a file of its
own, since Optuna keeps tables and migrations that are not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.services.search_trial import PRUNERS, SCHEMA

if TYPE_CHECKING:
    from optuna import Study

SAMPLERS = ("tpe", "cmaes", "nsgaii", "random")
DIRECTIONS = ("minimize", "maximize")
BACKENDS = ("local", "kubernetes")
_PATIENCE = 60  # seconds to wait for SQLite, which has one writer


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is searched for and how; ``url`` is that of our store."""

    model_name: str
    url: str = field(repr=False)
    direction: str = "minimize"
    sampler: str = "tpe"
    pruner: str | None = None
    seed: int | None = None
    backend: str = "local"  # where trials run

    def __post_init__(self) -> None:
        for name, known in (
            ("direction", DIRECTIONS),
            ("sampler", SAMPLERS),
            ("pruner", (None, *PRUNERS)),
            ("backend", BACKENDS),
        ):
            if getattr(self, name) not in known:
                raise SearchError(
                    f"{name}={getattr(self, name)!r} means nothing.",
                    remedy=f"Use one of {', '.join(filter(None, known))}.",
                )

    @property
    def pruning(self) -> str:
        """How trials are pruned: by the median unless said, in pods not at all unless said."""
        return self.pruner or ("median" if self.backend == "local" else "none")

    @property
    def tells_pods(self) -> bool:
        """Whether trials in pods reach the study themselves, which pruning needs."""
        return self.backend == "kubernetes" and self.pruning != "none"


def check_reach(settings: SearchSettings) -> None:
    """Refuse pruning in pods that cannot reach the study.

    :raises SearchError: it lies in a file of the workers.
    """
    from sqlalchemy import make_url

    if settings.tells_pods and make_url(settings.url).get_backend_name() == "sqlite":
        raise SearchError(
            f"pruner={settings.pruning!r} is asked for with trials in pods, and the study lies in "
            "a file of SQLite, which no pod can reach.",
            remedy='Say pruner="none", or keep the store in PostgreSQL.',
        )


def open_study(settings: SearchSettings, storage: Any, slot: int = 0) -> Study:
    """Return the study, made unless it is there; ``slot`` sets the sampler's seed apart."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction: Any = settings.direction
    return optuna.create_study(
        study_name=settings.model_name,
        storage=storage,
        direction=direction,
        sampler=_sampler(settings, slot),
        pruner=getattr(optuna.pruners, PRUNERS[settings.pruning])(),
        load_if_exists=True,
    )


def open_storage(settings: SearchSettings) -> Any:
    """Return where Optuna keeps the study.

    :raises SearchError: it is in memory.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, make_url, text

    url = make_url(settings.url)
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


def _sampler(settings: SearchSettings, slot: int) -> Any:
    from optuna import samplers

    # each trial is a process of its own: with one seed all would draw the same
    seed = None if settings.seed is None else settings.seed + slot
    made: dict[str, Callable[[], Any]] = {
        # others run at the same time: away from where they look
        "tpe": lambda: samplers.TPESampler(seed=seed, constant_liar=True),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
        "nsgaii": lambda: samplers.NSGAIISampler(seed=seed),
        "random": lambda: samplers.RandomSampler(seed=seed),
    }
    return made[settings.sampler]()
