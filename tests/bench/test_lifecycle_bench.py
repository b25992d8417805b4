"""The simulation behind ``make bench-lifecycle``, held against what is known of list schedules."""

from __future__ import annotations

import random

import pytest

from tests.bench import lifecycle_priority
from tests.bench.lifecycle_shapes import layered, widest
from tests.bench.lifecycle_simulation import AIRFLOW, Shape, bound, makespan
from tests.bench.report import KEYS

FORK = Shape(name="fork", family="made", waits_for=((), (0,), (0,), (0,), (3,), (1, 2, 4)))


def test_airflows_rules_weigh_as_airflow_does() -> None:
    assert AIRFLOW["downstream"](FORK, ()) == [6, 2, 2, 3, 2, 1]
    assert AIRFLOW["upstream"](FORK, ()) == [1, 2, 2, 2, 3, 6]
    assert AIRFLOW["absolute"](FORK, ()) == [1] * 6


def test_a_run_is_as_long_as_by_hand() -> None:
    seconds = [1.0, 5.0, 5.0, 2.0, 8.0, 1.0]
    ties = [0.0] * 6
    assert makespan(FORK, seconds, [9, 1, 1, 8, 7, 0], 2, ties) == 1 + 2 + 8 + 1 + 0
    assert makespan(FORK, seconds, [9, 8, 7, 1, 1, 0], 2, ties) == 1 + 5 + 2 + 8 + 1


@pytest.mark.parametrize("seed", range(30))
def test_no_run_beats_the_bound_nor_is_longer_than_a_list_schedule_can_be(seed: int) -> None:
    dice = random.Random(seed)
    shape = layered(dice, seed)
    count = len(shape.waits_for)
    seconds = [dice.expovariate(1) for _ in range(count)]
    for slots in (1, 2, 4):
        ran = makespan(shape, seconds, [dice.randrange(9) for _ in range(count)], slots, seconds)
        assert bound(shape, seconds, slots) <= ran + 1e-9
        assert ran <= sum(seconds) / slots + bound(shape, seconds, count) + 1e-9  # Graham, 1969
        if slots == 1:
            assert ran == pytest.approx(sum(seconds))


@pytest.mark.slow
def test_a_small_measurement_says_what_the_large_one_says() -> None:
    dice = random.Random(3)
    shapes = [layered(dice, n) for n in range(20)]
    assert any(widest(shape) > 4 for shape in shapes)
    figures = list(lifecycle_priority.measure(dags=120, shapes=shapes))
    assert [set(found) for found in figures] == [set(KEYS)] * 5
    assert figures[0]["value"] < 0.98, figures[0]
    assert figures[1]["value"] < 1.15, figures[1]  # of so few DAGs this is the worst one
