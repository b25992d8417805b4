"""The rows of a batch beside the Delta table that they go to: what of them is new is added.

DuckDB sorts out what is new, on disk where memory does not do. Of a table that may be many times
as large as the batch one column is read at a time, past what is kept of the batch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.arrow_stage import ArrowStage
from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.core.feedback.quick import ROW

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.delta import DeltaTable, Snapshot

_MOST_TRIES = 30
_STEP = 1 << 32  # numbers of arrival in one batch
_COLUMNS = ", ".join(f'"{name}"' for name in ROW)
# Tables of a session wait in memory, and on disk where that does not do; others would be written.
_KNOWN = """
CREATE OR REPLACE TEMP TABLE known AS
SELECT content_hash FROM there SEMI JOIN staged USING (content_hash)  -- which the id is under
"""
_NEW = """
CREATE OR REPLACE TEMP TABLE added AS
SELECT place, feedback_id, content_hash, model_name FROM staged
ANTI JOIN known USING (content_hash)
"""
_ONCE = """
DELETE FROM added WHERE place NOT IN (SELECT min(place) FROM added GROUP BY content_hash)
"""
_DIFFERENT = "SELECT count(*), count(DISTINCT hash({name})) FROM {table}"
_ROWS = f"""
SELECT {_COLUMNS.replace('"observed_at"', "CAST(observed_at AS TIMESTAMPTZ) AS observed_at")},
    $batch * {_STEP} + place AS sequence
FROM staged
"""  # noqa: S608
_ADDED = "SEMI JOIN added USING (place)"


@dataclass(frozen=True, kw_only=True)
class Added:
    """What a batch added: per model, and how many of them are revisions."""

    offered: int
    news: Mapping[str, int]
    revised: int = 0


class Staged:
    """The rows of a batch in a database of their own, beside the table that they go to."""

    def __init__(self, table: DeltaTable, connection: Any, stage: ArrowStage) -> None:
        self._table, self._connection, self._stage = table, connection, stage

    def commit(self, meta: Mapping[str, Any]) -> Added:
        """Add what is not there yet, as one commit; nothing new makes none.

        :raises FeedbackSinkError: others keep committing, or the table cannot be used.
        """
        for attempt in range(_MOST_TRIES):
            there = self._table.snapshot()
            version, last = (-1, 0) if there is None else (there.version, there.last)
            count = self._stage.count
            if there is None and self._are_different("feedback_id", "staged", count):
                added, chosen = Added(offered=count, news=self._stage.models), ""
            else:
                added, chosen = self._sort_out(there), _ADDED
            if not added.news:
                return added
            rows = self._connection.sql(_ROWS + chosen, params={"batch": last + 1})
            told = {**meta, "news": dict(added.news), "revised": added.revised}
            if self._table.append(rows, number=last + 1, meta=told, version=version):
                return added
            time.sleep(random.uniform(0, min(1.0, 0.05 * 2**attempt)))  # noqa: S311 - no secret
        raise FeedbackSinkError(
            f"Others kept writing to the Delta table {self._table.address}.",
            remedy="Try again; nothing of this batch was taken.",
            address=self._table.address,
        )

    def _sort_out(self, there: Snapshot | None) -> Added:
        """Make the tables ``known``, of what is there, and ``added``, of what is not."""
        connection = self._connection
        connection.execute("CREATE OR REPLACE TEMP TABLE known (content_hash VARCHAR)")
        if there is not None:
            self._ask(there, _KNOWN, "content_hash")
        if self._are_different("content_hash", "known", self._stage.count):
            return Added(offered=self._stage.count, news={})
        connection.execute(_NEW)
        connection.execute(_ONCE)
        counted = "SELECT model_name, count(*) FROM added GROUP BY 1 ORDER BY 1"
        news = dict(connection.execute(counted).fetchall())
        ids = "SELECT count(DISTINCT feedback_id) FROM "
        [(first,)] = connection.execute(f"{ids} added").fetchall()
        if there is not None and first:
            [(known,)] = self._ask(there, f"{ids} there SEMI JOIN added USING (feedback_id)")
            first -= known
        revised = sum(news.values()) - first
        return Added(offered=self._stage.count, news=news, revised=revised)

    def _ask(self, there: Snapshot, question: str, column: str = "feedback_id") -> Any:
        """Return what SQL says of a column of what is ``there``, which is read once."""
        self._connection.register("there", there.read((column,)))
        try:
            return self._connection.execute(question).fetchall()
        finally:
            self._connection.unregister("there")

    def _are_different(self, column: str, table: str, count: int) -> bool:
        """Whether it is known that there are ``count`` rows, no two alike in a column."""
        asked = _DIFFERENT.format(name=column, table=table)
        return bool(self._connection.execute(asked).fetchall() == [(count, count)])
