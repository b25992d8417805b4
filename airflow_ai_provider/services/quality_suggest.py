"""Onboarding: propose a suite for data, which the data passes, to be edited."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.personal.tally import look_at
from airflow_ai_provider.core.quality.suggest.propose import Entry, propose
from airflow_ai_provider.core.quality.suggest.seen import ColumnSeen, TableSeen
from airflow_ai_provider.core.quality.suggest.settle import LeftOut, settled
from airflow_ai_provider.core.quality.suite import MOST_EXPECTATIONS, Suite, parse_suite
from airflow_ai_provider.core.quality.values import json_safe
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData
    from airflow_ai_provider.adapters.sql_tables import TableData

SAMPLE = 10_000  # rows
_LOOKED_AT = 1_000  # different values of a column that are searched for personal data
Said = Callable[[str], None]
Outcomes = dict[int, "Outcome | str"]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A suite that the data passes, and what was proposed and left out, with the reason."""

    document: dict[str, Any]
    rows: int
    columns: int
    left_out: tuple[LeftOut, ...]

    @property
    def entries(self) -> Sequence[Entry]:
        """The suite's expectations."""
        listed: list[Entry] = self.document["expectations"]
        return listed

    def dumps(self) -> str:
        """Return the suite as Great Expectations' 1.x JSON."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"


def suggest(
    data: Any,
    *,
    name: str | None = None,
    sample: int = SAMPLE,
    say: Said = lambda _: None,
    memory_limit: str | None = None,
    time_limit: float = DEFAULT_TIME,
) -> Suggestion:
    """Return a suite that ``data`` passes: files, a ``SqlSource``, or a frame.

    Shapes and sets come from a sample of ``sample`` rows, figures from all; then every proposal is
    held to all rows, and what they do not meet is loosened (``mostly``) or left out. Only what is
    compiled is proposed, so the suite is judged in one pass. ``say`` is told what goes on.

    :raises DataReadError: the data is absent, cut short or malformed, or the database was lost.
    """
    if sample < 1:
        raise QualityError(f"A sample of {sample} rows shows nothing.", remedy="Take 1 or more.")
    if type(data).__name__ == "SqlSource":
        return _suggest_table(data, name or _named(data.address), sample, say, time_limit)
    return _suggest_data(data, name, sample, say, memory_limit)


def _suggest_data(
    data: Any, name: str | None, sample: int, say: Said, memory_limit: str | None
) -> Suggestion:
    from airflow_ai_provider.adapters.duckdb import open_data
    from airflow_ai_provider.adapters.frames import is_frame, open_frame
    from airflow_ai_provider.adapters.suggest_duckdb import see_data

    opening = open_frame if is_frame(data) else open_data
    with opening(data, memory_limit=memory_limit) as opened:
        say(f"Looking at {len(opened.columns)} columns of {opened.files.path} ...")
        seen = see_data(opened, sample)
        named = name or _named(opened.files.path)
        found = _settle(seen, named, lambda suite: _file_outcomes(suite, opened), say)
        opened.files.need_unchanged()
        return found


def _suggest_table(source: Any, name: str, sample: int, say: Said, time_limit: float) -> Suggestion:
    from airflow_ai_provider.adapters.sql_tables import open_table
    from airflow_ai_provider.adapters.suggest_table import see_table

    with open_table(source, time_limit=time_limit) as opened:
        say(f"Looking at {len(opened.columns)} columns of {source.address} ...")
        seen = see_table(opened, sample)
        return _settle(seen, name, lambda suite: _table_outcomes(suite, opened, time_limit), say)


def _settle(
    seen: TableSeen, name: str, judge: Callable[[Suite], Outcomes], say: Said
) -> Suggestion:
    """Hold the proposals to the data twice: what was loosened is judged again."""
    seen = replace(seen, columns=[_told(column) for column in seen.columns])
    proposed = propose(seen)
    say(f"Holding {len(proposed)} expectations to all of {seen.rows:,} rows ...")
    kept, left = _judged(proposed[:MOST_EXPECTATIONS], name, judge)
    if kept != proposed:
        kept, again = _judged(kept, name, judge)
        left += again
    left += [LeftOut(entry=e, reason="a suite has a limit") for e in proposed[MOST_EXPECTATIONS:]]
    return Suggestion(
        document=_document(name, kept, seen),
        rows=seen.rows,
        columns=len(seen.columns),
        left_out=tuple(left),
    )


def _told(column: ColumnSeen) -> ColumnSeen:
    """Say which personal data a column seems to hold: its values are not named in a suite."""
    values = list(column.counts)[:_LOOKED_AT]
    found = look_at(column.name, values) if values else []
    return replace(column, personal=", ".join(f.title for f in found)) if found else column


def _judged(
    entries: Sequence[Entry], name: str, judge: Callable[[Suite], Outcomes]
) -> tuple[list[Entry], list[LeftOut]]:
    plain: list[Entry] = json_safe(list(entries))
    outcomes = judge(parse_suite({"name": name, "expectations": plain}))
    kept, left = [], []
    for index, entry in enumerate(plain):
        found = settled(entry, outcomes.get(index))
        if isinstance(found, LeftOut):
            left.append(found)
        else:
            kept.append(found)
    return kept, left


def _file_outcomes(suite: Suite, data: DuckDBData) -> Outcomes:
    from airflow_ai_provider.core.quality.compiler import compile_suite
    from airflow_ai_provider.services.quality_look import Look

    plan = compile_suite(suite, data.columns, count=data.count)
    facts = Look(suite, data).facts(plan)
    found: Outcomes = {left.expectation.index: left.reason for left in plan.leftovers}
    return found | {c.expectation.index: c.judge(facts) for c in plan.checks}


def _table_outcomes(suite: Suite, data: TableData, time_limit: float) -> Outcomes:
    from airflow_ai_provider.core.quality.database.check import TableSchema
    from airflow_ai_provider.core.quality.database.compiler import compile_table
    from airflow_ai_provider.services.quality_table import TableLook

    schema = TableSchema(
        suite=suite, columns=data.columns, source=data.relation, dialect=data.dialect
    )
    plan = compile_table(schema)
    found: Outcomes = {left.expectation.index: left.reason for left in plan.leftovers}
    for result in TableLook(suite, data, time_limit=time_limit).decided(plan):
        outcome = Outcome(success=result.success, result=result.result)
        found[result.expectation.index] = outcome
    return found


def _document(name: str, entries: Sequence[Entry], seen: TableSeen) -> dict[str, Any]:
    notes = (
        f"Proposed by airflow-ai quality suggest from {seen.rows:,} rows of {len(seen.columns)} "
        "columns, which pass it. Edit it: it knows what was there, not what should be."
    )
    return {"name": name, "expectations": list(entries), "meta": {"notes": notes}}


def _named(path: str) -> str:
    stem = path.rstrip("/").rpartition("/")[2].partition("?")[0].partition(".")[0]
    return stem.strip("*_-") or "suggested"


def write_suite(suggestion: Suggestion, target: str | os.PathLike[str], *, force: bool) -> Path:
    """Write the suite to ``target``, whole or not at all.

    :raises QualityError: it is there already and ``force`` is not said, or cannot be written.
    """
    path = Path(target)
    if path.exists() and not force:
        raise QualityError(
            f"{path} is there already, and somebody may have edited it.",
            remedy="Name another file, or say --force.",
        )
    try:
        with whole_file(path) as unfinished:
            unfinished.write_text(suggestion.dumps(), encoding="utf-8")
    except OSError as error:
        raise QualityError(
            f"Cannot write {path}: {error.strerror or error}.", remedy="Check the path."
        ) from error
    return path
