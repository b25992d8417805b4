"""A criterion of a user's own, as a gate finds it by name."""

from __future__ import annotations

LIMIT = 40


def answers(case):
    return 42.0
