"""Remove records from a Delta table for good: the files that held them go too."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.store.feedback_forgotten import ATTRIBUTE

_AT_ONCE = 500


def ids_of(table: DeltaTable, persons: Collection[str], fields: Sequence[str]) -> set[str]:
    """Return the ids of records of which any revision names one of ``persons`` in ``fields``."""
    wanted, found = set(persons), set()
    with table.reading(("feedback_id", "source", "attributes")) as connection:
        answer = connection.execute("SELECT feedback_id, source, attributes FROM feedback")
        while rows := answer.fetchmany(10_000):
            for feedback_id, source, attributes in rows:
                told = {"source": source}
                if attributes:
                    told |= {ATTRIBUTE + k: v for k, v in json.loads(attributes).items()}
                if any(str(told.get(field)) in wanted for field in fields if field in told):
                    found.add(feedback_id)
    return found


def delete_ids(table: DeltaTable, ids: Collection[str]) -> tuple[int, int]:
    """Delete the records of ``ids``; return how many they were, and their revisions.

    Older versions of the table had them, so the files that only those need are deleted: what reads
    an older version meanwhile fails.
    """
    wanted = set(ids)
    with table.reading(("feedback_id",)) as connection:
        there = connection.execute("SELECT feedback_id FROM feedback").fetchall()
    gone = [found for (found,) in there if found in wanted]
    names = sorted(set(gone))
    if names:
        table.remove(
            f"feedback_id IN ({', '.join(map(_quoted, names[start : start + _AT_ONCE]))})"
            for start in range(0, len(names), _AT_ONCE)
        )
    return len(names), len(gone)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
