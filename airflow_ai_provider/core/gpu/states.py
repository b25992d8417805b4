"""The states of a lease, and the only moves between them.

A lease begins as a ticket in the queue (``pending``). ``granted`` devices wait for the one who
asked, ``active`` ones are held. A lease that nobody renewed, whose holder died or left something
running, or that a newer try revoked is ``suspect``: its devices stay taken until the holder's
processes are known to be gone. What cannot be ended is ``quarantined``.
"""

from __future__ import annotations

from enum import Enum


class LeaseState(str, Enum):
    """Where a lease stands."""

    PENDING = "pending"
    GRANTED = "granted"
    ACTIVE = "active"
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"
    RELEASED = "released"


MOVES: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.PENDING: frozenset({LeaseState.GRANTED, LeaseState.RELEASED}),
    LeaseState.GRANTED: frozenset({LeaseState.ACTIVE, LeaseState.RELEASED}),
    LeaseState.ACTIVE: frozenset({LeaseState.SUSPECT, LeaseState.RELEASED}),
    # a keeper that comes late and finds the holder alive makes a suspect lease active again
    LeaseState.SUSPECT: frozenset({LeaseState.ACTIVE, LeaseState.QUARANTINED, LeaseState.RELEASED}),
    LeaseState.QUARANTINED: frozenset({LeaseState.RELEASED}),
    LeaseState.RELEASED: frozenset(),
}


def sources(target: LeaseState) -> tuple[LeaseState, ...]:
    """Return the states from which a lease may move to ``target``: the guard of its UPDATE."""
    return tuple(state for state, targets in MOVES.items() if target in targets)


class RequestState(str, Enum):
    """Where a request stands in the queue."""

    PENDING = "pending"  # waits; the planner looks at it
    LEASED = "leased"  # a live lease serves it
    LAPSED = "lapsed"  # was granted and nobody claimed it; keeps its place for who comes back
    DONE = "done"  # served, and its lease released
    WITHDRAWN = "withdrawn"  # the one who asked gave up, or a newer try took its place
    REFUSED = "refused"  # can never be met
