"""Remaining paths as weights, and what is learnt of durations, held against brute force."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import LifecycleError, TaskDurationsError
from airflow_ai_provider.core.lifecycle.durations import UNKNOWN, TaskDurations, Typical
from airflow_ai_provider.core.lifecycle.remaining import MOST, PathTask, remaining_seconds, weights

SECONDS = st.floats(0, 1e6)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, PathTask]:
    count = draw(st.integers(1, 8))
    tasks = {}
    for number in range(count):
        later = [str(n) for n in range(number + 1, count)]
        followers = draw(st.sets(st.sampled_from(later))) if later else set()
        tasks[str(number)] = PathTask(seconds=draw(SECONDS), followers=followers)
    return tasks


def every_path(tasks: dict[str, PathTask], name: str) -> list[float]:
    after = [length for f in tasks[name].followers for length in every_path(tasks, f)]
    return [tasks[name].seconds + length for length in after or [0.0]]


@given(dags())
def test_the_remaining_path_is_the_longest_of_all_paths(tasks: dict[str, PathTask]) -> None:
    found = remaining_seconds(tasks)
    for name in tasks:
        assert found[name] == pytest.approx(max(every_path(tasks, name)))


@given(dags(), st.integers(-(10**9), 10**9))
def test_weights_keep_the_order_and_fit_airflows_column(
    tasks: dict[str, PathTask], factor: int
) -> None:
    tasks = {n: PathTask(seconds=t.seconds, followers=t.followers, factor=factor)
             for n, t in tasks.items()}  # fmt: skip
    found, longest = weights(tasks), remaining_seconds(tasks)
    assert all(isinstance(w, int) and -MOST <= w <= MOST for w in found.values())
    for one in tasks:
        for two in tasks:
            if longest[one] > longest[two]:
                assert (found[one] >= found[two]) if factor >= 0 else (found[one] <= found[two])


def test_a_chain_of_ten_thousand_tasks_is_no_trouble() -> None:
    tasks = {str(n): PathTask(seconds=1.0, followers=[str(n + 1)]) for n in range(10_000)}
    assert remaining_seconds(tasks)["0"] == 10_000


def test_tasks_that_wait_for_one_another_are_named() -> None:
    tasks = {"a": PathTask(seconds=1, followers="b"), "b": PathTask(seconds=1, followers="a")}
    with pytest.raises(LifecycleError, match="a, b wait for one another"):
        weights(tasks)


def test_a_task_that_grew_slower_is_known_as_slower_after_a_few_runs() -> None:
    typical = Typical(seconds=0.0, runs=0)
    for seconds in [10.0] * 20 + [100.0] * 10:
        typical = typical.with_another(seconds)
    assert typical.runs == 30
    assert 85 < typical.seconds < 100


def test_the_first_runs_are_a_plain_mean() -> None:
    typical = Typical(seconds=0.0, runs=0)
    for seconds in (1.0, 2.0, 3.0, 6.0):
        typical = typical.with_another(seconds)
    assert typical.seconds == pytest.approx(3.0)


def test_what_never_ran_counts_as_the_mean_of_its_dag_else_of_all() -> None:
    known = TaskDurations().with_runs([("a", "x", 10), ("a", "y", 30), ("b", "z", 50)], until="t")
    assert known.seconds("a", ["x", "new"]) == {"x": 10, "new": 10}
    assert known.seconds("a", ["x", "y", "new"]) == {"x": 10, "y": 30, "new": 20}
    assert known.seconds("other", ["new"]) == {"new": 30}
    assert TaskDurations().seconds("other", ["new"]) == {"new": UNKNOWN}
    assert known.seconds("other", []) == {}


@given(
    st.lists(
        st.tuples(
            st.text(max_size=5), st.text(max_size=5), st.floats(-10, 1e12) | st.just(float("nan"))
        )
    )
)
def test_the_document_says_the_same_again(runs: list[tuple[str, str, float]]) -> None:
    known = TaskDurations().with_runs(runs, until="2026-01-01T00:00:00+00:00")
    again = TaskDurations.of_document(json.loads(json.dumps(known.document())))
    assert again.until == known.until
    assert {d: set(t) for d, t in again.of_dag.items()} == {
        d: set(t) for d, t in known.of_dag.items()
    }
    for dag, tasks in known.of_dag.items():
        for name, typical in tasks.items():
            assert again.of_dag[dag][name].runs == typical.runs
            assert again.of_dag[dag][name].seconds == pytest.approx(typical.seconds, abs=1e-3)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"format": 2, "durations": {}},
        {"format": 1, "durations": []},
        {"format": 1, "durations": {}, "until": 3},
        {"format": 1, "durations": {"a": []}},
        {"format": 1, "durations": {"a": {"x": 3}}},
        {"format": 1, "durations": {"a": {"x": [1]}}},
        {"format": 1, "durations": {"a": {"x": ["1", 1]}}},
        {"format": 1, "durations": {"a": {"x": [-1, 1]}}},
        {"format": 1, "durations": {"a": {"x": [float("nan"), 1]}}},
        {"format": 1, "durations": {"a": {"x": [1.0, 0]}}},
        {"format": 1, "durations": {"a": {"x": [True, 1]}}},
    ],
)
def test_a_document_of_another_kind_is_refused(document: object) -> None:
    with pytest.raises(TaskDurationsError, match="cannot be used"):
        TaskDurations.of_document(document)
