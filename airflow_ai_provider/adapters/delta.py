"""A Delta table of feedback: appended to only with what is not there yet, one writer after another.

Every commit carries a Delta transaction identifier (``txn``) with a number one above the last, so
that of two writers who read the same version one is refused, reads again and goes on: what an
insert-only MERGE does, with the count of what was revised. DuckDB sorts out what is new, on disk
where memory does not do; both libraries are imported when they are used.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.adapters.arrow_stage import NUMBERS, ArrowStage
from airflow_ai_provider.core.errors import FeedbackSinkError, in_one_line
from airflow_ai_provider.core.feedback.quick import ROW

APP = "airflow-ai-feedback"
_META = "airflow_ai"
_MOST_TRIES = 30
_MEMORY = "384MB"
_STEP = 1 << 32  # numbers of arrival in one batch
_COLUMNS = ", ".join(f'"{name}"' for name in ROW)
_NEW = """
CREATE OR REPLACE TABLE added AS
WITH once AS (
    SELECT min(place) AS place FROM staged GROUP BY content_hash  -- which the id is under
)
SELECT staged.* FROM staged SEMI JOIN once USING (place)
ANTI JOIN there ON there.content_hash = staged.content_hash
"""
_ROWS = f"""
SELECT * REPLACE (CAST(observed_at AS TIMESTAMPTZ) AS observed_at)
FROM (
    SELECT {_COLUMNS}, $batch * {_STEP} + place AS sequence
    FROM staged SEMI JOIN added USING (place)
)
"""  # noqa: S608 - names of ours


@dataclass(frozen=True, kw_only=True)
class Added:
    """What a batch added: per model, and how many of them are revisions."""

    offered: int
    news: Mapping[str, int]
    revised: int


class DeltaTable:
    """The table at ``address``: a folder, or a place of an object store.

    :param options: what the storage wants to know (``AWS_REGION``, ``AZURE_STORAGE_ACCOUNT_NAME``);
        the environment says the rest.
    """

    def __init__(self, address: str, options: Mapping[str, str] | None = None) -> None:
        self.address = address.removeprefix("file://")
        self._options = dict(options or {})

    def stage(self) -> ArrowStage:
        """Return where rows wait for ``staged``."""
        return ArrowStage(said=self.said)

    @contextmanager
    def staged(self, stage: ArrowStage) -> Iterator[Staged]:
        """Yield the rows of ``stage`` on their way into the table."""
        import duckdb

        folder = stage.folder
        with self.said(folder):
            connection = duckdb.connect(f"{folder}/sorted.duckdb")
            try:
                connection.execute(f"SET memory_limit = '{_MEMORY}'")
                connection.register("staged", stage.table())
                yield Staged(self, connection, stage.count)
            finally:
                connection.close()

    def append(self, rows: Any, *, number: int, meta: Mapping[str, Any], version: int) -> bool:
        """Commit ``rows`` as batch ``number`` on what was there at ``version``.

        False when somebody else committed meanwhile: nothing was added.
        """
        from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError

        found = self._open()
        if found is not None:
            if version < 0:  # somebody made it meanwhile
                return False
            found.load_as_version(version)
        properties = CommitProperties(
            custom_metadata={_META: json.dumps({**meta, "batch": number})},
            app_transactions=[Transaction(APP, number)],
            max_commit_retries=0,
        )
        try:
            write_deltalake(
                self.address if found is None else found,
                rows,
                mode="error" if found is None else "append",
                name="feedback",
                storage_options=self._options or None,
                writer_properties=WriterProperties(compression="ZSTD", max_row_group_size=100_000),
                commit_properties=properties,
            )
        except CommitFailedError:
            return False
        except Exception:
            if found is None and self._open() is not None:  # somebody else made it meanwhile
                return False
            raise
        return True

    def snapshot(self, columns: Sequence[str], predicate: str | None = None) -> Any:
        """Return (version, number of the last batch, a reader of ``columns``); None when empty."""
        found = self._open()
        if found is None:
            return None
        reader = found.scan(columns=list(columns), predicate=predicate)
        return found.version(), found.transaction_version(APP) or 0, reader

    @contextmanager
    def reading(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield a DuckDB connection in which ``feedback`` has ``columns`` of every revision."""
        import duckdb

        with (
            tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder,
            self.said(folder),
            duckdb.connect(config={"temp_directory": folder}) as connection,
        ):
            found = self.snapshot(columns)
            if found is None:
                kinds = ", ".join(f'"{name}" {_kind(name)}' for name in columns)
                connection.execute(f"CREATE TABLE feedback ({kinds})")
            else:
                connection.register("feedback", _arrow(found[2]))
            yield connection

    def version(self) -> int | None:
        """Return the number of the newest version; None when the table is not there.

        :raises FeedbackSinkError: its place cannot be looked at.
        """
        with self.said(None):
            found = self._open()
            return None if found is None else int(found.version())

    def check(self) -> None:
        """Do nothing when the table is there.

        :raises FeedbackSinkError: it is not, or its place cannot be looked at.
        """
        if self.version() is None:
            raise FeedbackSinkError(
                f"The Delta table {self.address}, which has feedback, is not there.",
                remedy="Make it readable from here (mount it, or give its storage's options: "
                "delta_options in the extra field of the store's connection); if "
                f"it was removed for good: `airflow-ai feedback tables --drop {self.address}`.",
                address=self.address,
            )

    def remove(self, conditions: Iterable[str]) -> None:
        """Delete the rows that SQL ``conditions`` mean, and the files that older versions need.

        :raises FeedbackSinkError: the table cannot be changed.
        """
        with self.said(None):
            opened = self._open()
            if opened is not None:
                for condition in conditions:
                    opened.delete(condition)
                opened.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    def metas(self) -> Iterator[dict[str, Any]]:
        """Yield what the commits say of themselves, newest first."""
        with self.said(None):
            found = self._open()
            for commit in found.history() if found is not None else ():
                if _META in commit:
                    yield json.loads(commit[_META])

    def _open(self) -> Any:
        from deltalake import DeltaTable as Opened
        from deltalake.exceptions import TableNotFoundError

        try:
            return Opened(self.address, storage_options=self._options or None)
        except TableNotFoundError:
            return None

    @contextmanager
    def said(self, folder: str | None) -> Iterator[None]:
        """Raise what the libraries say as ours, naming the table."""
        try:
            import duckdb
            from deltalake.exceptions import DeltaError
        except ModuleNotFoundError as error:
            raise FeedbackSinkError(
                "The library for Delta Lake is not installed.",
                remedy="pip install 'airflow-ai-provider[delta]'",
            ) from error
        try:
            yield
        except (DeltaError, OSError) as error:
            raise FeedbackSinkError(
                f"The Delta table {self.address} cannot be used: {in_one_line(error)}.",
                remedy="Check the place, its room and the permissions, then try again: a batch is "
                "there whole or not at all.",
                address=self.address,
            ) from error
        except duckdb.Error as error:
            raise FeedbackSinkError(
                f"Feedback for {self.address} cannot be sorted in {folder or 'memory'}: "
                f"{in_one_line(error)}.",
                remedy="Make room there, or set TMPDIR to a folder with room, and try again.",
                address=self.address,
            ) from error


class Staged:
    """The rows of a batch in a database of their own, beside the table that they go to."""

    def __init__(self, table: DeltaTable, connection: Any, offered: int) -> None:
        self._table, self._connection, self._offered = table, connection, offered

    def commit(self, meta: Mapping[str, Any]) -> Added:
        """Add what is not there yet, as one commit; nothing new makes none.

        :raises FeedbackSinkError: others keep committing, or the table cannot be used.
        """
        for attempt in range(_MOST_TRIES):
            found = self._table.snapshot(("feedback_id", "content_hash"))
            version, last = (-1, 0) if found is None else found[:2]
            added = self._sort_out(None if found is None else found[2])
            if not added.news:
                return added
            rows = self._connection.sql(_ROWS, params={"batch": last + 1})
            told = {**meta, "news": dict(added.news), "revised": added.revised}
            if self._table.append(rows, number=last + 1, meta=told, version=version):
                return added
            time.sleep(random.uniform(0, min(1.0, 0.05 * 2**attempt)))  # noqa: S311 - no secret
        raise FeedbackSinkError(
            f"Others kept writing to the Delta table {self._table.address}.",
            remedy="Try again; nothing of this batch was taken.",
            address=self._table.address,
        )

    def models(self) -> list[str]:
        """Return the models that the rows are of."""
        found = self._connection.execute("SELECT DISTINCT model_name FROM staged").fetchall()
        return [name for (name,) in found]

    def _sort_out(self, there: Any) -> Added:
        connection = self._connection
        connection.execute(
            "CREATE OR REPLACE TABLE there (feedback_id VARCHAR, content_hash VARCHAR)"
        )
        if there is not None:
            connection.register("read", _arrow(there))
            connection.execute(
                "INSERT INTO there SELECT feedback_id, content_hash FROM read"
                " WHERE feedback_id IN (SELECT feedback_id FROM staged)"
            )
            connection.unregister("read")
        connection.execute(_NEW)
        news = dict(
            connection.execute(
                "SELECT model_name, count(*) FROM added GROUP BY 1 ORDER BY 1"
            ).fetchall()
        )
        [(first,)] = connection.execute(
            "SELECT count(DISTINCT feedback_id) FROM added"
            " ANTI JOIN there ON there.feedback_id = added.feedback_id"
        ).fetchall()
        return Added(offered=self._offered, news=news, revised=sum(news.values()) - first)


def _kind(name: str) -> str:
    if name in NUMBERS:
        return "DOUBLE"
    if name == "sequence":
        return "BIGINT"
    return "TIMESTAMPTZ" if name == "observed_at" else "VARCHAR"


def _arrow(reader: Any) -> Any:
    import pyarrow as pa

    return pa.RecordBatchReader.from_stream(reader)
