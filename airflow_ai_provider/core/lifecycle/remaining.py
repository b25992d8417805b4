"""The longest path from each task to the end of its DAG, as a priority weight.

Longest path first is the list schedule of Hu (1961): of the tasks that are ready, that one is
taken whose remaining path is the longest. A priority weight is an integer that is given to a task
instance once, before anything of its run is known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from airflow_ai_provider.core.errors import LifecycleError

PER_SECOND = 100  # weights: hundredths of a second
MOST = 2**31 - 1  # Airflow keeps a weight in 32 bits


@dataclass(frozen=True, kw_only=True)
class PathTask:
    """One task: its usual seconds, the tasks that follow it, and the user's own weight."""

    seconds: float
    followers: Collection[str] = ()
    factor: int = 1


def remaining_seconds(tasks: Mapping[str, PathTask]) -> dict[str, float]:
    """Return the seconds of the longest path that begins with each task, the task included.

    :raises LifecycleError: the tasks go round in a circle.
    """
    longest: dict[str, float] = {}
    for name in reversed(in_order({name: t.followers for name, t in tasks.items()})):
        after = max((longest[f] for f in tasks[name].followers if f in tasks), default=0.0)
        longest[name] = tasks[name].seconds + after
    return longest


def weights(tasks: Mapping[str, PathTask]) -> dict[str, int]:
    """Return the priority weight of each task.

    A user's ``priority_weight`` multiplies: one on a whole DAG sets it before or behind others and
    leaves the order within. Weights stop at what Airflow's column holds.
    """
    return {
        name: max(-MOST, min(MOST, round(seconds * PER_SECOND * tasks[name].factor)))
        for name, seconds in remaining_seconds(tasks).items()
    }


def in_order(followers: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names so that each comes before all that follow it.

    :raises LifecycleError: they go round in a circle.
    """
    waits = dict.fromkeys(followers, 0)
    for after in followers.values():
        for name in set(after):
            if name in waits:
                waits[name] += 1
    ready = [name for name, count in waits.items() if not count]
    ordered: list[str] = []
    while ready:
        name = ready.pop()
        ordered.append(name)
        for follower in set(followers[name]):
            if follower in waits:
                waits[follower] -= 1
                if not waits[follower]:
                    ready.append(follower)
    if len(ordered) < len(followers):
        left = sorted(name for name, count in waits.items() if count)
        raise LifecycleError(
            f"{', '.join(left[:5])} wait for one another.", remedy="Break the circle."
        )
    return ordered
