"""Taking in a million records of JSON Lines: our sinks, and what one would write by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.feedback_data import write_feedback
from tests.bench.feedback_sides import Run, run
from tests.bench.report import beside, figure, say
from tests.postgres import PostgresServer, postgres_running

ROWS = 1_000_000
ROUNDS = 3
_MOST_MB = 512
_MOST_GROWTH = 1.15

Pair = tuple[Run, Run]  # the first time, and the same again


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """Run every side in turn, ``rounds`` times, then the sinks of SQL with five times as much."""
    with tempfile.TemporaryDirectory() as name, postgres_running() as server:
        folder = Path(name)
        file = write_feedback(folder / "feedback.jsonl", rows)
        say(f"{rows} records, {file.stat().st_size / 1e6:.0f} MB")
        found: dict[str, list[Pair]] = {}
        for number in range(rounds):
            sides = list(SIDES)
            for side in sides if number % 2 == 0 else reversed(sides):
                found.setdefault(side, []).append(_pair(side, file, folder, server))
        yield from figures(found)
        file.unlink()
        file = write_feedback(folder / "five.jsonl", 5 * rows)
        for side in ("SQLite", "PostgreSQL"):
            first = _pair(side, file, folder, server, again=False)[0]
            before = max(run.peak for pair in found[side] for run in pair)
            yield figure(f"{side}: peak memory, five times as much", first.peak, "MB", _MOST_MB)
            yield figure(f"{side}: that beside once as much", first.peak / before, "", _MOST_GROWTH)


def figures(found: dict[str, list[Pair]]) -> Iterator[dict[str, Any]]:
    """Return the figures of the sides that ran."""
    wall = {side: median(first.wall for first, _ in pairs) for side, pairs in found.items()}
    for side, peer, least in (
        ("SQLite", "bare executemany", 0.7),
        ("SQLite", "pandas to_sql", 1.5),
        ("PostgreSQL", "bare COPY", 0.8),
    ):
        name = f"{side}: first ingest beside {peer}"
        yield beside(name, wall[side], "s", wall[peer], peer=peer, at_least=least)
    yield beside(
        "Delta: first ingest", wall["Delta"], "s", wall["parsing alone"],
        peer="parsing the JSON alone", at_most=4,
    )  # fmt: skip
    for side, most_mb in (("SQLite", _MOST_MB), ("PostgreSQL", _MOST_MB), ("Delta", 1000)):
        pairs = found[side]
        again = median(second.wall for _, second in pairs)
        yield beside(f"{side}: the same again", again, "s", wall[side], peer="first", at_most=1)
        yield figure(f"{side}: added by it", max(s.added for _, s in pairs), "", 0)
        peak = max(run.peak for pair in pairs for run in pair)
        yield figure(f"{side}: peak memory", peak, "MB", most_mb)


SIDES = {
    "SQLite": "store",
    "bare executemany": "executemany",
    "PostgreSQL": "store",
    "bare COPY": "copy",
    "Delta": "delta",
    "pandas to_sql": "to_sql",
    "parsing alone": "parse",
}
_ONCE = {"pandas to_sql", "parsing alone"}


def _pair(
    side: str, file: Path, folder: Path, server: PostgresServer, *, again: bool = True
) -> Pair:
    """Run a side on an empty target, and once more on what it left there."""
    with ExitStack() as stack:
        if side in {"PostgreSQL", "bare COPY"}:
            target: Any = stack.enter_context(server.database())
        else:
            own = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
            target = Path(own) / "feedback"
        first = run(SIDES[side], file, target)
        second = run(SIDES[side], file, target) if again and side not in _ONCE else first
    for what, one in (("", first), (" again", second)):
        if not what or second is not first:
            say(
                f"{side}{what}: {one.wall:.2f} s ({one.cpu:.2f} CPU), {one.peak:.0f} MB,"
                f" {one.added} added"
            )
    return first, second
