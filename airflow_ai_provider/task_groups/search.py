"""Hyperparameter search: Optuna's trials as mapped tasks, each on a GPU lease of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task, task_group

from airflow_ai_provider.hooks._search import open_search

if TYPE_CHECKING:
    from airflow_ai_provider.services.search import Search


def search(
    objective: Callable[..., Any],
    *,
    model_name: str,
    trials: int,
    parallel: int | None = None,
    direction: str = "minimize",
    sampler: str = "tpe",
    pruner: str | None = None,
    seed: int | None = None,
    arguments: Any = None,
    backend: str = "local",
    space: Mapping[str, Any] | None = None,
    kubernetes: Mapping[str, Any] | None = None,
    experiment: str | None = None,
    mlflow_conn_id: str = "mlflow_default",
    store_conn_id: str = "ai_store_default",
    group_id: str = "search",
    **gpu: Any,
) -> Any:
    """Search for the parameters with which ``objective`` is best; return the output of ``best``.

    The group has three tasks. ``begin`` makes the model's study, ``trial`` is mapped over the
    trials and runs each when a device is free, ``best`` says what came of it::

        def objective(trial, data):
            rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
            for epoch in range(10):
                loss = train(data, rate, epoch)
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return loss  # or {"value": loss, "run_id": ...}

        best = search(
            objective, model_name="flights", trials=40, sampler="cmaes", gpus=1,
            arguments={"data": features()},
        )
        train_model(best["params"])

    There is one study for each model, in the store's database server or beside its file, and a
    later run goes on with it. A task that is retried goes on with its trial, one that is cleared
    tells again what came of it, and a trial that was killed for good is marked failed. Trials that
    fail do not fail the search while one came to its end.

    The output is a dict: ``params``, ``value``, ``trial``, ``trials`` (of this run, by state),
    ``result`` (what else the objective returned), and ``run``, which goes into the evidence on a
    model that is trained with these parameters. It needs the extra ``search`` where tasks run.

    With ``backend="kubernetes"`` each trial runs in a pod of its own, with the same objective. The
    study stays with the task: it is asked once the pod has its devices (with a ``kueue_queue``,
    when the pod is queued), and told when the pod has ended. So ``space`` has to say what the
    parameters may be, and the image needs no Optuna::

        search(
            objective, model_name="flights", trials=40, backend="kubernetes",
            space={"rate": {"low": 1e-4, "high": 1e-1, "log": True}, "kind": ["adam", "sgd"]},
            kubernetes={"image": "trainer:1"},
        )

    There ``trial.should_prune()`` is always false, as a pod knows nothing of other trials, unless
    ``pruner`` is said: then the pod must reach the study. The store must be PostgreSQL (a study in
    SQLite is refused), the image needs Optuna and psycopg, and ``AIRFLOW_AI_SEARCH_STORE`` in the
    pod's environment must be the store's URL, by ``kubernetes={"secrets": [...]}``.

    :param objective: called with Optuna's trial; the less or the more it returns the better.
    :param trials: how many in this run.
    :param parallel: how many at once at most; as many as there are devices unless said.
    :param direction: ``minimize`` or ``maximize``.
    :param sampler: ``tpe``, ``cmaes`` (evolution), ``nsgaii`` (genetic) or ``random``.
    :param pruner: ``median``, ``halving``, ``hyperband`` or ``none``; unless said the median, and
        ``none`` in pods.
    :param seed: for the sampler; with ``parallel`` the order of the trials still varies.
    :param arguments: what the objective also takes, by name; values may be outputs of tasks.
    :param backend: ``local``, on workers, or ``kubernetes``, in pods.
    :param space: what each parameter may be, for trials in pods: a list of choices, or ``low`` and
        ``high`` with ``step`` or ``log``; whole numbers where both are.
    :param kubernetes: arguments of ``GpuKubernetesPodOperator`` for trials in pods.
    :param experiment: the MLflow experiment that gets a run with the best parameters; its id is
        then ``run_id`` in the output.
    :param mlflow_conn_id: the connection of MLflow.
    :param store_conn_id: the connection of the store.
    :param gpu: what ``@task.gpu`` takes, for each trial: ``gpus``, ``team``, ``retries``, ...
    """
    settings = {
        "model_name": model_name,
        "direction": direction,
        "sampler": sampler,
        "pruner": pruner,
        "seed": seed,
        "backend": backend,
    }
    mapped = f"{group_id}.trial"

    def opened() -> Search:
        return open_search(settings, store_conn_id=store_conn_id, mapped=mapped)

    decorate: Any = task.gpu(backend="local", max_active_tis_per_dagrun=parallel, **gpu)
    if backend == "kubernetes":
        from airflow_ai_provider.decorators._gpu_trial import trial_in_pod

        asked = {"store_conn_id": store_conn_id, **gpu, "max_active_tis_per_dagrun": parallel}
        decorate = trial_in_pod(
            objective, settings, mapped=mapped, space=space, kubernetes=kubernetes, **asked
        )

    @task_group(group_id=group_id)
    def group() -> Any:
        @task
        def begin() -> list[int]:
            opened().begin(lambda marks: _ended(marks, store_conn_id))
            return list(range(trials))

        @decorate  # type: ignore[untyped-decorator]
        def trial(slot: int, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
            ti: Any = get_current_context()["ti"]
            last = ti.try_number > (ti.max_tries or 0)
            return opened().run(objective, slot, arguments=arguments, last_try=last)

        @task(trigger_rule="all_done")
        def best() -> dict[str, Any]:
            made = opened()
            found = made.end()
            return found if experiment is None else _logged(made, found, experiment, mlflow_conn_id)

        tried = trial.partial(arguments=arguments).expand(slot=begin())
        found = best()
        tried >> found
        return found

    return group()


def _logged(
    made: Search, found: Mapping[str, Any], experiment: str, mlflow_conn_id: str
) -> dict[str, Any]:
    """Make a run of what was found; return it with the run's id."""
    from airflow_ai_provider.adapters.mlflow_search import log_search
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    client = ModelRegistryHook(mlflow_conn_id).get_client()
    run_id = log_search(client, experiment=experiment, task=made.task, best=found)
    return {**found, "run_id": run_id}


def _ended(marks: Sequence[str], store_conn_id: str) -> set[str]:
    """Return which of the marks are of leases that have ended."""
    from airflow_ai_provider.core.gpu.lease import parse_mark
    from airflow_ai_provider.hooks.gpu import GpuPoolHook
    from airflow_ai_provider.store.gpu_cluster import ClusterStore
    from airflow_ai_provider.store.gpu_turns import Turns

    pool = GpuPoolHook(store_conn_id).get_conn()
    leases = ClusterStore(pool.gpu.store, Turns(pool.gpu.store, clock=pool.gpu.clock))
    known = [found for mark in marks if (found := parse_mark(mark)) is not None]
    return {f"{lease_id}:{fence}" for lease_id, fence in leases.ended(known)}
