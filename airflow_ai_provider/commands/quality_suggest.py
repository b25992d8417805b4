"""``airflow-ai quality suggest``: propose a suite that the data passes, to be edited."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands.output import DONE, at_least_one, emit, say, table
from airflow_ai_provider.commands.quality_data import add_data, data_of, written

if TYPE_CHECKING:
    from airflow_ai_provider.services.quality_suggest import Suggestion


def add_suggest(commands: Any) -> None:
    """Add the command to those of ``quality``."""
    suggest = commands.add_parser(
        "suggest", help="propose an expectation suite that the data passes, to be edited"
    )
    add_data(suggest)
    suggest.add_argument(
        "--output", metavar="FILE", help="where the suite goes (default: standard output)"
    )
    suggest.add_argument(
        "--sample",
        type=at_least_one,
        default=10_000,
        metavar="ROWS",
        help="rows whose values are looked at; figures are of all rows (default: 10000)",
    )
    suggest.add_argument("--name", metavar="NAME", help="the suite's name (default: the data's)")
    suggest.add_argument("--force", action="store_true", help="replace a FILE that is there")
    suggest.set_defaults(run=run_suggest)


def run_suggest(args: argparse.Namespace) -> int:
    """Propose; progress goes to standard error, so that the output can be a file."""
    from airflow_ai_provider.services.quality_suggest import suggest, write_suite

    found = suggest(data_of(args), name=args.name, sample=args.sample, say=_say)
    if args.output:
        path = write_suite(found, args.output, force=args.force)
        emit(args, found.document, _lines(found, f"{path}", written(args, str(path))))
    elif args.json:
        emit(args, found.document, ())
    else:
        say(found.dumps(), end="")
        _say(f"{len(found.entries)} expectations; --output FILE writes them to a file.")
    return DONE


def _say(text: str) -> None:
    print(f"airflow-ai: {text}", file=sys.stderr, flush=True)


def _lines(found: Suggestion, path: str, checked: str) -> Iterator[str]:
    yield f"{path}: {len(found.entries)} expectations, which all {found.rows} rows pass"
    yield ""
    rows = [
        (
            entry["severity"],
            entry["type"].removeprefix("expect_"),
            entry["kwargs"].get("column"),
            entry["meta"]["notes"],
        )
        for entry in found.entries
    ]
    yield from table(rows, ("severity", "expectation", "column", "why"))
    for left in found.left_out:
        named = left.entry["kwargs"].get("column")
        yield f"left out: {left.entry['type'].removeprefix('expect_')}({named}): {left.reason}"
    yield ""
    yield f"Edit it, then: airflow-ai quality check {checked}"
