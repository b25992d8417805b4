"""When a plan ends, as far as its estimates and what happened can tell.

Ten thousand plans are drawn from the three-point estimates and each is scheduled. Adding up the
expected lengths along the critical path, as PERT does, is too hopeful where paths meet: the later
of two is later than the expected later one ("merge bias"; MacCrimmon and Ryavec, 1964).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airflow_ai_provider.core.lifecycle.critical_path import (
    EDGE,
    Work,
    chain,
    ordered_works,
    schedule,
)
from airflow_ai_provider.core.lifecycle.estimates import ThreePoint

DRAWS = 10_000
_SEED = 20_131  # the same plan gives the same dates


@dataclass(frozen=True, kw_only=True)
class Step:
    """A milestone to be forecast, in places of a calendar: its estimate, and what happened.

    ``share`` is what is known to be done of one that is not finished, 0 when nothing is known.
    """

    estimate: ThreePoint | None = None
    after: Sequence[str] = ()
    started: float | None = None
    finished: float | None = None
    share: float = 0.0

    @property
    def begun(self) -> float | None:
        """Where it began; of one that is done and says no begin, where it was done."""
        return self.finished if self.started is None else self.started


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A milestone's forecast: expected begin and end, the end with 50 and with 90 percent.

    ``criticality`` is the share of the drawn plans in which it delays the end.
    """

    start: float
    finish: float
    p50: float
    p90: float
    slack: float
    critical: bool
    criticality: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The outlook of each milestone, the critical path, and the end with 50 and 90 percent."""

    steps: Mapping[str, Outlook]
    path: tuple[str, ...]
    p50: float
    p90: float


def plan(steps: Mapping[str, Step], *, draws: int = DRAWS) -> Forecast:
    """Return the forecast as it stood before anything happened: the plan."""
    untouched = {n: Step(estimate=s.estimate, after=s.after) for n, s in steps.items()}
    return forecast(untouched, now=0.0, draws=draws)


def forecast(steps: Mapping[str, Step], *, now: float, draws: int = DRAWS) -> Forecast:
    """Return what the estimates and what happened say at the place ``now``.

    What is done lies where it was. What is begun ends later than now: where it is known how much of
    it is done, the rest takes its share of the estimate from now on; else its length is drawn from
    the part of its estimate that is still possible, and past its worst it takes one deviation more,
    at least a day. What is not begun begins now at the earliest, and not before the plan does.

    :raises LifecycleError: the steps wait for one another.
    """
    ordered = ordered_works({name: step.after for name, step in steps.items()})
    lengths = {name: _lengths(steps[name], now, _dice(name), draws) for name in ordered}
    begin: dict[str, Any] = {}
    end: dict[str, Any] = {}
    for name in ordered:
        step = steps[name]
        if step.begun is not None:
            begin[name] = np.full(draws, step.begun)
        else:
            begin[name] = np.full(draws, max(now, 0.0))
            for before in step.after:
                if before in end:
                    begin[name] = np.maximum(begin[name], end[before])
        end[name] = begin[name] + lengths[name]
    late = _criticality(steps, ordered, begin, end)
    works = {name: _expected(steps[name], now, float(lengths[name].mean())) for name in ordered}
    placed = schedule(works)
    outlooks = {
        name: Outlook(
            start=placed[name].start,
            finish=placed[name].finish,
            p50=_quantile(end[name], 0.5),
            p90=_quantile(end[name], 0.9),
            slack=placed[name].slack,
            critical=placed[name].critical and steps[name].finished is None,
            criticality=late[name],
        )
        for name in steps
    }
    last = np.maximum.reduce(list(end.values())) if end else np.zeros(1)
    return Forecast(
        steps=outlooks,
        path=tuple(chain(works, placed)),
        p50=_quantile(last, 0.5),
        p90=_quantile(last, 0.9),
    )


def _dice(name: str) -> np.random.Generator:
    """Return a generator of the step's own: what happens to one step moves no other's draws."""
    return np.random.default_rng([_SEED, zlib.crc32(name.encode())])


def _lengths(step: Step, now: float, dice: np.random.Generator, draws: int) -> Any:
    """Return drawn lengths from the begin on."""
    if step.finished is not None:
        return np.full(
            draws, step.finished - (step.finished if step.started is None else step.started)
        )
    gone = 0.0 if step.started is None else max(now - step.started, 0.0)
    if step.estimate is None:
        return np.full(draws, gone)
    drawn = _drawn(step.estimate, dice, draws)
    if step.share:
        return gone + (1.0 - step.share) * drawn
    if not gone:
        return drawn
    possible = drawn[drawn > gone]
    if possible.size:
        return dice.choice(possible, draws)
    return np.full(draws, gone + max(step.estimate.deviation, 1.0))


def _drawn(estimate: ThreePoint, dice: np.random.Generator, draws: int) -> Any:
    width = estimate.worst - estimate.best
    if width <= 0:
        return np.full(draws, estimate.best)
    return estimate.best + width * dice.beta(*estimate.shape, draws)


def _expected(step: Step, now: float, length: float) -> Work:
    if step.begun is not None:
        end = step.begun + length if step.finished is None else step.finished
        return Work(length=length, after=step.after, fixed=(step.begun, end))
    return Work(length=length, after=step.after, not_before=max(now, 0.0))


def _criticality(
    steps: Mapping[str, Step], ordered: Sequence[str], begin: Any, end: Any
) -> dict[str, float]:
    """Return in which share of the plans a delay of each step delays the end."""
    if not end:
        return {}
    last = np.maximum.reduce(list(end.values()))
    latest = {name: last.copy() for name in ordered}
    found = {}
    for name in reversed(ordered):
        late = latest[name] <= end[name] + EDGE
        found[name] = 0.0 if steps[name].finished is not None else float(late.mean())
        if steps[name].begun is None:
            starts = latest[name] - (end[name] - begin[name])
            for before in steps[name].after:
                if before in latest:
                    latest[before] = np.minimum(latest[before], starts)
    return found


def _quantile(values: Any, share: float) -> float:
    """Return the least place by which ``share`` of the plans are done."""
    return float(np.quantile(values, share, method="inverted_cdf"))
