"""Rows of feedback on their way into a Delta table, in an Arrow file.

Of the file is read what is asked for, a piece at a time, and without Python.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import datetime
from types import TracebackType
from typing import Any

from airflow_ai_provider.adapters.feedback_columns import ColumnReader
from airflow_ai_provider.core.feedback.quick import ROW, Row

NUMBERS = frozenset({"label_number", "value", "score"})
_PIECE, _PIECE_BYTES = 10_000, 8 * 2**20
_MODEL = ROW.index("model_name")


class ArrowStage:
    """Takes rows piece by piece; ``scan`` has them with their ``place``, as Arrow.

    :param said: wraps what uses libraries, given the folder: it raises what they say as ours.
    """

    def __init__(self, *, said: Callable[[str], AbstractContextManager[None]]) -> None:
        self._said = said
        self._rows: list[Row] = []
        self._weight = self.count = 0
        self.models: Counter[str] = Counter()  # how many rows are of each
        self._stack = ExitStack()
        self.folder = ""
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> ArrowStage:
        temporary = tempfile.TemporaryDirectory(prefix="airflow-ai-")
        self.folder = self._stack.enter_context(temporary)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # the end of a file that is thrown away
            self._stack.close()

    def extend(self, rows: Sequence[Row], *, weight: int = 0) -> None:
        """Append rows that take about ``weight`` bytes together.

        :raises FeedbackSinkError: there is no room for them, or a library is missing.
        """
        self._rows += rows
        self._weight += weight
        if len(self._rows) >= _PIECE or self._weight >= _PIECE_BYTES:
            self._write()

    def reader(
        self,
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        not_after: datetime | None = None,
    ) -> Callable[[bytes], Any]:
        """Return what makes, in any thread, columns for ``take`` of lines that are plain."""
        columns = ColumnReader(mapping=mapping, model_name=model_name, not_after=not_after)

        def read(data: bytes) -> Any:
            with self._said(self.folder):
                return columns.batch(data)

        return read

    def take(self, columns: Any) -> None:
        """Append the rows that such a reader made.

        :raises FeedbackSinkError: there is no room for them, or a library is missing.
        """
        self._write()
        with self._said(self.folder):
            self._append(columns.columns)

    def scan(self) -> Any:
        """Return all rows as a data set of Arrow; none can be added any more."""
        from pyarrow import dataset

        self._write()
        self._writer.close()
        return dataset.dataset(self._file, format="ipc")

    @property
    def _file(self) -> str:
        return f"{self.folder}/staged"

    def _write(self) -> None:
        with self._said(self.folder):
            import pyarrow as pa

            if self._writer is None:
                self._open()
            rows, self._rows, self._weight = self._rows, [], 0
            if rows:
                kinds = self._schema.types[:-1]
                columns = zip(*rows, strict=True)
                self._append([pa.array(*column) for column in zip(columns, kinds, strict=True)])

    def _append(self, columns: Sequence[Any]) -> None:
        import numpy as np
        import pyarrow as pa

        count = len(columns[0])
        for told in columns[_MODEL].value_counts().to_pylist():
            self.models[told["values"]] += told["counts"]
        places = pa.array(np.arange(self.count, self.count + count))
        self._writer.write_batch(pa.record_batch([*columns, places], schema=self._schema))
        self.count += count

    def _open(self) -> None:
        import pyarrow as pa

        kinds = [pa.float64() if name in NUMBERS else pa.string() for name in ROW]
        fields = [*zip(ROW, kinds, strict=True), ("place", pa.int64())]
        self._schema = pa.schema(fields)
        sink = self._stack.enter_context(pa.OSFile(self._file, "wb"))
        self._writer = self._stack.enter_context(pa.ipc.new_file(sink, self._schema))
