"""Rows of feedback on their way into PostgreSQL: copied there while more of the source is read.

To read a source and check it takes longer than the server needs to take the rows in, so the two go
on at the same time, and other writers wait for no more than the insert. The rows wait in a table of
the transaction, which a pooler between us and the server may need. Each piece is a statement of its
own: none is open while the source is slow.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.quick import ROW, Row
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_writing import (
    FEW,
    as_sqlalchemys,
    copy_text,
    insert_few,
    listed,
)
from airflow_ai_provider.store.schema import feedback

_PIECE, _PIECE_BYTES = 5_000, 8 * 2**20
_HASHED = 2_000_000  # 16 MB
_WAITING = "feedback_waiting"
_COLUMNS = listed(ROW)
_REPEATED = (
    f"SELECT EXISTS (SELECT FROM {_WAITING} GROUP BY hashtextextended(feedback_id, 0)"  # noqa: S608
    " HAVING count(*) > 1)"
)
_SEQUENCE = "pg_get_serial_sequence('feedback', 'sequence')"
_PREPARE = (
    "SET LOCAL idle_in_transaction_session_timeout = 0",  # as long as the source takes
    # in the order in which it is written, so arrival stays in order
    f"CREATE TEMP TABLE {_WAITING} ON COMMIT DROP AS SELECT {_COLUMNS} FROM feedback"  # noqa: S608
    " WITH NO DATA",
)


class CopyStage:
    """Takes rows piece by piece; ``insert`` makes them a batch.

    A few rows wait in memory: a table of their own would cost more than they do.

    :param hashed: of how many ids the hashes are kept, to know without the server that none comes
        twice.
    """

    def __init__(self, store: Store, *, hashed: int = _HASHED) -> None:
        self._store = store
        self._hashes, self._most_hashes = array("q"), hashed
        self._rows: list[Row] = []
        self._weight = self.count = 0
        self._transaction = ExitStack()
        self._connection: sa.Connection | None = None
        self._sender = ThreadPoolExecutor(1, "feedback-copy")
        self._sent: Future[None] | None = None

    def __enter__(self) -> CopyStage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sender.shutdown()
        with suppress(_NotWrittenError), self._transaction:
            raise _NotWrittenError  # takes back what nobody wrote

    def extend(self, rows: Sequence[Row], *, weight: int = 0) -> None:
        """Append rows that take about ``weight`` bytes together.

        :raises StoreUnavailableError: the server does not answer.
        """
        self._rows += rows
        self._weight += weight
        self.count += len(rows)
        if self.count <= self._most_hashes:
            self._hashes.extend([hash(row[0]) for row in rows])
        if len(self._rows) >= _PIECE or self._weight >= _PIECE_BYTES:
            self._send()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield the connection that knows what waits here; what is done on it is one transaction.

        :raises StoreUnavailableError: the server does not answer; nothing was written.
        """
        if self._connection is not None or self.count > FEW:
            self._send()
            self._wait()
        with ExitStack() as stack:
            stack.push(self._transaction.pop_all())
            yield self._connection or stack.enter_context(self._store.write())

    def insert(self, connection: sa.Connection, batch: int) -> bool:
        """Insert what is not there yet while nobody else writes feedback.

        Return whether every waiting record has an id of its own; False where that is not known.
        """
        if connection is not self._connection:
            insert_few(connection, feedback, ROW, self._rows, batch)
            return False
        if self._repeats(connection):
            connection.exec_driver_sql(
                f"INSERT INTO feedback ({_COLUMNS}, batch_id)"  # noqa: S608 - names of ours
                f" SELECT {_COLUMNS}, {int(batch)} FROM {_WAITING} ON CONFLICT DO NOTHING"
            )
            return False
        # The index fills up far faster in its own order, and records of other ids than theirs can
        # come in any as long as they are numbered as they arrived. None is in conflict with
        # another, and to look for one costs as much as the insert.
        connection.exec_driver_sql("SET LOCAL work_mem = '32MB'")
        first = int(connection.exec_driver_sql(f"SELECT nextval({_SEQUENCE})").scalar_one())
        connection.exec_driver_sql(f"SELECT setval({_SEQUENCE}, {first + self.count - 1})")
        connection.exec_driver_sql(
            f"INSERT INTO feedback (sequence, {_COLUMNS}, batch_id)"  # noqa: S608 - names of ours
            f" SELECT {first} - 1 + place, {_COLUMNS}, {int(batch)}"
            f" FROM (SELECT *, row_number() OVER () AS place FROM {_WAITING}) AS waiting"
            " WHERE NOT EXISTS (SELECT FROM feedback AS known"
            " WHERE known.feedback_id = waiting.feedback_id"
            " AND known.content_hash = waiting.content_hash)"
            ' ORDER BY feedback_id COLLATE "C"'
        )
        return True

    def _repeats(self, connection: sa.Connection) -> bool:
        """Whether an id comes twice, or looks like it."""
        if len(self._hashes) < self.count:
            return bool(connection.exec_driver_sql(_REPEATED).scalar_one())
        import numpy as np

        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.int64))
        return bool((ordered[1:] == ordered[:-1]).any())

    def _send(self) -> None:
        self._wait()
        rows, self._rows, self._weight = self._rows, [], 0
        if rows:
            self._sent = self._sender.submit(_copy, self._open(), copy_text(rows))

    def _wait(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None and self._connection is not None:
            with self._store.typed_errors(), as_sqlalchemys(self._connection):
                sent.result()

    def _open(self) -> Any:
        if self._connection is None:
            connection = self._transaction.enter_context(self._store.write())
            with self._store.typed_errors():
                for statement in _PREPARE:
                    connection.exec_driver_sql(statement)
            self._connection = connection
        return self._connection.connection.driver_connection


class _NotWrittenError(Exception):
    """Nobody wrote what was waiting."""


def _copy(driver: Any, text: str) -> None:
    with driver.cursor() as cursor, cursor.copy(f"COPY {_WAITING} FROM STDIN") as copy:
        copy.write(text)
