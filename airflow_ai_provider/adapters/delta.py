"""A Delta table of feedback: appended to only with what is not there yet, one writer after another.

Every commit carries a Delta transaction identifier (``txn``) with a number one above the last, so
that of two writers who read the same version one is refused, reads again and goes on: what an
insert-only MERGE does, with the count of what was revised. DuckDB sorts out what is new, on disk
where memory does not do; both libraries are imported when they are used.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.adapters.arrow_stage import NUMBERS, ArrowStage
from airflow_ai_provider.adapters.delta_batch import Staged
from airflow_ai_provider.core.errors import FeedbackSinkError, in_one_line

APP = "airflow-ai-feedback"
_META = "airflow_ai"
_MEMORY = "384MB"
_DIFFER = ("feedback_id", "content_hash", "prediction_id", "observed_at", "sequence")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a table holds at one version; ``last`` is the number of the last batch."""

    version: int
    last: int
    opened: Any = field(repr=False)

    def read(self, columns: Sequence[str]) -> Any:
        """Return a reader of ``columns``, for Arrow."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_stream(self.opened.scan(columns=list(columns)))


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
                connection.register("staged", stage.scan())
                yield Staged(self, connection, stage)
            finally:
                connection.close()

    def append(self, rows: Any, *, number: int, meta: Mapping[str, Any], version: int) -> bool:
        """Commit ``rows`` as batch ``number`` on what was there at ``version``.

        False when somebody else committed meanwhile: nothing was added.
        """
        from deltalake import CommitProperties, Transaction, write_deltalake
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
                writer_properties=_writing(),
                commit_properties=properties,
            )
        except CommitFailedError:
            return False
        except Exception:
            if found is None and self._open() is not None:  # somebody else made it meanwhile
                return False
            raise
        return True

    def snapshot(self) -> Snapshot | None:
        """Return what the table holds now; None when there is none."""
        found = self._open()
        if found is None:
            return None
        return Snapshot(
            version=found.version(), last=found.transaction_version(APP) or 0, opened=found
        )

    @contextmanager
    def reading(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield a DuckDB connection in which ``feedback`` has ``columns`` of every revision."""
        import duckdb

        with (
            tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder,
            self.said(folder),
            duckdb.connect(config={"temp_directory": folder}) as connection,
        ):
            found = self.snapshot()
            if found is None:
                kinds = ", ".join(f'"{name}" {_kind(name)}' for name in columns)
                connection.execute(f"CREATE TABLE feedback ({kinds})")
            else:
                connection.register("feedback", found.read(columns))
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


def _writing() -> Any:
    from deltalake import ColumnProperties, WriterProperties

    # a dictionary of values that differ is made in vain, and takes as long as all else
    different = dict.fromkeys(_DIFFER, ColumnProperties(dictionary_enabled=False))
    return WriterProperties(
        compression="ZSTD", max_row_group_size=100_000, column_properties=different
    )


def _kind(name: str) -> str:
    if name in NUMBERS:
        return "DOUBLE"
    if name == "sequence":
        return "BIGINT"
    return "TIMESTAMPTZ" if name == "observed_at" else "VARCHAR"
