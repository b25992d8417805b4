"""Trials of a search in pods: the study stays with the task, asked before and told after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.decorators._gpu_trial import trial_in_pod
from airflow_ai_provider.hooks._search import open_search
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.task_groups.search import search
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.in_pod import runs_python
from tests.kubernetes.tasks import after_its_pods, context, run
from tests.kubernetes.test_decorator import QUICK
from tests.kubernetes.test_operator import Background, foreign_pod, until

pytestmark = pytest.mark.kubernetes
SETTINGS = {"model_name": "toy", "seed": 1, "backend": "kubernetes"}
SPACE = {"x": {"low": -5.0, "high": 5.0}, "n": {"low": 1, "high": 3}, "kind": ["a", "b"]}
MAPPED = "search.trial"


def bowl(trial: Any, low: float) -> dict[str, Any]:
    x = trial.suggest_float("x", -5, 5)
    n = trial.suggest_int("n", 1, 3)
    for epoch in range(n):
        trial.report(10 - epoch, epoch)
        if trial.should_prune():
            raise RuntimeError("nobody here knows of other trials")
    return {"value": (x - low) ** 2 + n, "kind": trial.suggest_categorical("kind", ["a", "b"])}


def fails(trial: Any, low: float) -> float:
    raise OSError("the disk was full")


def other_range(trial: Any, low: float) -> float:
    found: float = trial.suggest_float("x", 10, 20)
    return found


def in_pod(objective: Any = bowl, slot: int = 0, **given: Any) -> Any:
    """Return what makes the task of a slot's trial anew for each leg."""
    settings = {**SETTINGS, **given.pop("settings", {})}
    space = given.pop("space", SPACE)
    kubernetes = {**QUICK, **given.pop("kubernetes", {})}

    def trial(slot: int, arguments: Any) -> None:
        pass

    def make(**_: Any) -> Any:
        with DAG("d"):
            made = trial_in_pod(
                objective, settings, mapped=MAPPED, space=space, kubernetes=kubernetes,
                **{"gpus": 1, **given},
            )  # fmt: skip
            return made(trial)(slot=slot, arguments={"low": 1.0}).operator

    return make


def at(try_number: int = 1, max_tries: int = 0, **named: Any) -> dict[str, Any]:
    return context(try_number, max_tries=max_tries, **named)


def study(**settings: Any) -> Any:
    found = {**SETTINGS, **settings}
    return open_search(found, store_conn_id="ai_store_default", mapped=MAPPED, context=at())


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_pod_runs_the_objective_with_what_was_asked_and_the_study_is_told(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.kubelet.behave = runs_python
    told = run(at(), make=in_pod(deferrable=deferrable))
    params = told["params"]
    assert set(params) == {"x", "n", "kind"}
    assert told["value"] == pytest.approx((params["x"] - 1) ** 2 + params["n"])
    assert told["result"] == {"kind": params["kind"]}
    best = study().end()
    assert (best["value"], best["trials"]) == (
        told["value"], {"complete": 1, "pruned": 0, "fail": 0}
    )  # fmt: skip
    assert after_its_pods(cluster, pool) == []
    pods = len(cluster.objects.story["pods"])
    assert run(at(2), make=in_pod(deferrable=deferrable)) == told  # cleared: no second trial
    assert len(cluster.objects.story["pods"]) == pods


def test_it_is_asked_when_there_is_a_device_and_not_before(cluster: Cluster, pool: GpuPool) -> None:
    cluster.kubelet.behave = lambda pod: runs_python(pod) if "dag_id" in labels(pod) else {}
    for _ in range(2):
        cluster.create("pods", foreign_pod(4))
    until(lambda: all(p["spec"].get("nodeName") for p in cluster.pods))
    waits = Background(at(), make=in_pod())
    until(lambda: pool.status()["queue"])
    study().begin()
    with pytest.raises(SearchError, match="0 of this run"):  # not even one that began
        study().end()
    cluster.delete("pods", cluster.pods[0]["metadata"]["name"], gracePeriodSeconds=0)
    assert waits.end() is None
    assert study().end()["trials"]["complete"] == 1


def labels(pod: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("labels") or {}
    return found


@pytest.mark.parametrize(("try_number", "trials"), [(1, 0), (2, 1)])
def test_a_failure_fails_the_trial_at_the_last_try_only(
    cluster: Cluster, pool: GpuPool, try_number: int, trials: int
) -> None:
    cluster.kubelet.behave = runs_python
    study().begin()
    with pytest.raises(AirflowException, match="the disk was full"):
        run(at(try_number, max_tries=1), make=in_pod(fails))
    mine = study()
    states = [t.state.name for t in mine._mine(mine._study())]
    assert states == (["FAIL"] if trials else ["RUNNING"])
    if not trials:
        told = run(at(2, max_tries=1), make=in_pod())  # goes on with the same trial
        assert told["trial"] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"space": None}, "has no space"),
        ({"space": {"x": {"low": 2, "high": 1}}}, "low is 2 and high is 1"),
        ({"objective": lambda trial: 1.0}, "no plain function"),
    ],
)
def test_what_would_not_work_is_said_before_a_pod_is_made(
    cluster: Cluster, pool: GpuPool, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        run(at(), make=in_pod(**given))
    assert cluster.pods == []
    assert pool.status()["queue"] == []


def test_an_objective_that_asks_for_another_space_is_told_so(
    cluster: Cluster, pool: GpuPool
) -> None:
    cluster.kubelet.behave = runs_python
    with pytest.raises(AirflowException, match=r"by the search's space, and not from 10 to 20"):
        run(at(), make=in_pod(other_range))


def test_pruning_in_pods_needs_a_study_that_they_reach(cluster: Cluster, pool: GpuPool) -> None:
    with pytest.raises(SearchError, match="SQLite, which no pod can reach"):
        study(pruner="median").begin()
    study().begin()  # unless it is said, pods do not prune


def gets_worse(trial: Any, low: float) -> float:
    import optuna

    for epoch in range(3):
        trial.report(100.0, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return trial.suggest_float("x", -5, 5) + 100


@pytest.mark.slow
def test_a_pod_that_reaches_the_study_prunes_by_the_other_trials(
    cluster: Cluster, pool: GpuPool, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://", 1)
    monkeypatch.setenv(
        "AIRFLOW_CONN_AI_STORE_DEFAULT",
        json.dumps({"conn_type": "ai_store", "extra": {"url": url}}),
    )
    migrate(Store(url))
    cluster.kubelet.behave = lambda pod: runs_python(pod, flags=["-I"])
    here = study(pruner="median", backend="local")
    here.begin()

    def good(trial: Any) -> float:
        trial.report(1.0, 0)
        return 1.0

    for slot in range(5):
        here.run(good, slot)
    settings = {"pruner": "median"}
    given = {"settings": settings, "slot": 5}
    with pytest.raises(AirflowException, match="AIRFLOW_AI_SEARCH_STORE does not say"):
        run(at(1, max_tries=1), make=in_pod(gets_worse, **given))
    reaches = {"env_vars": {"AIRFLOW_AI_SEARCH_STORE": postgres_url}}
    told = run(at(2, max_tries=1), make=in_pod(gets_worse, kubernetes=reaches, **given))
    assert (told["state"], told["trial"]) == ("pruned", 5)


def test_the_task_group_makes_trials_in_pods() -> None:
    with DAG("d") as made:
        search(
            bowl, model_name="m", trials=3, parallel=2, arguments={"low": 1.0}, gpus=2,
            backend="kubernetes", space=SPACE, kubernetes=QUICK, retries=1,
        )  # fmt: skip
    mapped: Any = made.task_dict["search.trial"]
    assert mapped.operator_class.__name__ == "_GpuPodTrialOperator"
    assert mapped.partial_kwargs["max_active_tis_per_dagrun"] == 2
    assert (mapped.partial_kwargs["gpus"], mapped.partial_kwargs["image"]) == (2, "trainer:1")
    assert mapped.upstream_task_ids == {"search.begin"}
    from airflow.serialization.serialized_objects import DagSerialization

    json.dumps(DagSerialization.to_dict(made))
