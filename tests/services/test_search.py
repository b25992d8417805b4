"""Hyperparameter search: one study for each model, trials that belong to tasks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.services.search import Search
from airflow_ai_provider.services.search_study import SAMPLERS, SearchSettings


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        return found.replace("postgresql://", "postgresql+psycopg://", 1)
    return f"sqlite:///{tmp_path}/airflow_ai.db"


def a_search(url: str, *, task: str = "d/r/search.trial", **given: Any) -> Search:
    return Search(SearchSettings(model_name="flights", url=url, **{"seed": 3, **given}), task=task)


def bowl(trial: Any) -> float:
    x = trial.suggest_float("x", -5, 5)
    y = trial.suggest_float("y", -5, 5)
    return float((x - 1) ** 2 + (y + 2) ** 2)


def in_a_process(work: Callable[[], Any]) -> int:
    """Start ``work`` in a process of its own, as a task is; return its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_trials_in_processes_side_by_side_and_one_that_is_killed(url: str) -> None:
    a_search(url).begin()

    def dies(trial: Any) -> float:
        trial.suggest_float("x", -5, 5)
        os._exit(9)

    def work(slot: int) -> Callable[[], Any]:
        return lambda: a_search(url).run(dies if slot == 2 else bowl, slot)

    pids = [in_a_process(work(slot)) for slot in range(4)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0, 0, 9, 0]
    best = a_search(url).end()
    assert best["trials"] == {"complete": 3, "pruned": 0, "fail": 1}
    assert best["trials_of_study"] == 4
    assert set(best["params"]) == {"x", "y"}
    told = [a_search(url).run(bowl, slot) for slot in (0, 1, 3)]  # as they were
    assert best["value"] == min(one["value"] for one in told)
    assert best["run"]["params"] == {
        **best["params"], "study": "flights", "search_trial": str(best["trial"])
    }  # fmt: skip


def test_the_evolutionary_sampler_learns_from_trial_to_trial(tmp_path: Path) -> None:
    one = a_search(f"sqlite:///{tmp_path}/ai.db", sampler="cmaes")
    one.begin()
    told = [one.run(bowl, slot)["value"] for slot in range(25)]  # a new sampler each time
    assert sum(told[15:]) < sum(told[:10]) / 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_sampler_gives_each_trial_other_parameters(tmp_path: Path, sampler: str) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    search = a_search(url, sampler=sampler)
    search.begin()
    told = [search.run(bowl, slot) for slot in range(3)]
    assert len({one["params"]["x"] for one in told}) == 3


def test_a_retry_goes_on_with_its_trial_and_a_cleared_one_is_no_second(url: str) -> None:
    seen: list[float] = []

    def fails_once(trial: Any) -> float:
        seen.append(trial.suggest_float("x", 0, 1))
        if len(seen) == 1:
            raise OSError("the disk was full")
        return seen[-1]

    a_search(url).begin()
    with pytest.raises(OSError, match="full"):
        a_search(url).run(fails_once, 0, last_try=False)
    first = a_search(url).run(fails_once, 0)
    again = a_search(url).run(fails_once, 0)
    assert first == again
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert a_search(url).end()["trials_of_study"] == 1


def test_an_error_at_the_last_try_fails_the_trial_and_not_the_search(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    a_search(url).begin()
    with pytest.raises(ZeroDivisionError):
        a_search(url).run(lambda trial: 1 / 0, 0)
    with pytest.raises(SearchError, match="1 of this run did not"):
        a_search(url).end()
    a_search(url).run(lambda trial: {"value": trial.suggest_int("n", 1, 3), "run_id": "m"}, 1)
    best = a_search(url).end()
    assert best["trials"] == {"complete": 1, "pruned": 0, "fail": 1}
    assert best["result"] == {"run_id": "m"}


def test_a_later_run_goes_on_with_the_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    for task in ("d/r1/search.trial", "d/r2/search.trial"):
        a_search(url, task=task).begin()
        a_search(url, task=task).run(bowl, 0)
    best = a_search(url, task="d/r2/search.trial").end()
    assert best["trials"]["complete"] == 1
    assert best["trials_of_study"] == 2
    with pytest.raises(SearchError, match="is to minimize, not to maximize"):
        a_search(url, direction="maximize").begin()


def test_a_trial_whose_lease_has_ended_is_marked_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    old = a_search(url, task="d/old/search.trial")
    old.begin()
    for slot, mark in enumerate(("gone:1", "alive:2")):
        monkeypatch.setenv("AIRFLOW_AI_GPU_LEASE", mark)
        with pytest.raises(OSError, match="away"):
            old.run(_away, slot, last_try=False)
    new = a_search(url, task="d/new/search.trial")
    new.begin(lambda marks: {mark for mark in marks if mark.startswith("gone")})
    new.run(bowl, 0)
    assert old.end()["trials"] == {"complete": 0, "pruned": 0, "fail": 2}
    assert new.end()["trials"]["complete"] == 1


def _away(trial: Any) -> float:
    raise OSError("away")


def test_a_trial_that_is_worse_than_others_is_pruned(tmp_path: Path) -> None:
    import optuna

    url = f"sqlite:///{tmp_path}/ai.db"

    def objective(trial: Any, worse: bool) -> float:
        for epoch in range(3):
            trial.report(10.0 if worse else 1.0, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0

    a_search(url).begin()
    told = [a_search(url).run(objective, slot, arguments={"worse": slot == 6}) for slot in range(7)]
    assert [one["state"] for one in told] == ["complete"] * 6 + ["pruned"]
    assert a_search(url).end()["trials"] == {"complete": 6, "pruned": 1, "fail": 0}


@pytest.mark.parametrize("returned", [float("nan"), None, "good", {"loss": 1.0}])
def test_what_is_no_number_is_said_and_fails_the_trial(tmp_path: Path, returned: Any) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    a_search(url).begin()
    with pytest.raises(SearchError, match="no finite number"):
        a_search(url).run(lambda trial: returned, 0, last_try=False)
    with pytest.raises(SearchError, match="No trial"):
        a_search(url).end()


@pytest.mark.parametrize("wrong", [{"sampler": "best"}, {"pruner": "x"}, {"direction": "down"}])
def test_a_setting_that_means_nothing_is_said(wrong: dict[str, str]) -> None:
    with pytest.raises(SearchError, match="means nothing"):
        a_search("sqlite:///x.db", **wrong)


def test_a_store_in_memory_keeps_no_study_and_no_password_is_shown() -> None:
    with pytest.raises(SearchError, match="in memory"):
        a_search("sqlite:///:memory:").begin()
    assert "secret" not in repr(SearchSettings(model_name="m", url="postgresql://u:secret@h/d"))
