"""Which version a way back leads to, according to what was in an environment before.

The moves into an environment are a stack: a promotion puts a version on it, a way back takes off
everything above the version it leads to. So two ways back in a row lead two versions back, and not
to and fro between two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

PREVIOUS = "previous"  # the version that was there before the one that is
NEWEST_GOOD = "newest_good"  # the newest one that was there and was not rolled back for cause


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One move into an environment; ``version`` None took the last one away."""

    version: str | None
    is_rollback: bool = False
    left: str | None = None
    for_cause: bool = False


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a way back leads; each objection needs an override."""

    version: str
    objections: tuple[str, ...] = ()


def standing(moves: Sequence[Placed]) -> list[str]:
    """Return the stack that ``moves`` (oldest first) left, the version that holds now at its end.

    Empty when nothing holds now.
    """
    stack: list[str] = []
    for move in moves:
        if move.version is None:
            stack.clear()
        elif move.is_rollback and move.version in stack:
            del stack[len(stack) - stack[::-1].index(move.version) :]
        elif not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack


def bad(moves: Sequence[Placed]) -> set[str]:
    """Return the versions that left for cause and were not promoted again since."""
    found: set[str] = set()
    for move in moves:
        if move.version is not None and not move.is_rollback:
            found.discard(move.version)
        if move.is_rollback and move.for_cause and move.left is not None:
            found.add(move.left)
    return found


def choose(
    moves: Sequence[Placed], wanted: str, *, trouble: Callable[[str], str | None]
) -> Target | None:
    """Return the version that ``wanted`` means; None when there is none.

    ``wanted`` is ``PREVIOUS``, ``NEWEST_GOOD`` or a version. ``trouble`` says what is wrong with a
    version in the registry, None when it is there and ready.
    """
    if wanted == NEWEST_GOOD:
        return _newest_good(moves, trouble)
    stack = standing(moves)
    if wanted != PREVIOUS:
        held = {move.version for move in moves}
        stranger = () if wanted in held else (f"version {wanted} was never there",)
        return Target(version=wanted, objections=(*stranger, *_objections(moves, wanted, trouble)))
    if len(stack) < 2:
        return None
    return Target(version=stack[-2], objections=_objections(moves, stack[-2], trouble))


def _objections(
    moves: Sequence[Placed], version: str, trouble: Callable[[str], str | None]
) -> tuple[str, ...]:
    cause = f"version {version} was rolled back for cause" if version in bad(moves) else None
    return tuple(reason for reason in (cause, trouble(version)) if reason)


def _newest_good(moves: Sequence[Placed], trouble: Callable[[str], str | None]) -> Target | None:
    stack, refused = standing(moves), bad(moves)
    now = stack[-1] if stack else None
    seen: set[str] = set()
    for move in reversed(moves):
        version = move.version
        if version is None or version == now or version in refused or version in seen:
            continue
        seen.add(version)
        if trouble(version) is None:
            return Target(version=version)
    return None
