"""Rows of feedback on their way into a Delta table, in an Arrow file.

The file is mapped and not read into memory, and libraries sort out what it holds without Python.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any

from airflow_ai_provider.core.feedback.quick import ROW, Row

NUMBERS = frozenset({"label_number", "value", "score"})
_PIECE, _PIECE_BYTES = 10_000, 8 * 2**20


class ArrowStage:
    """Takes rows piece by piece; ``table`` has them with their ``place``, as Arrow.

    :param said: wraps what uses libraries, given the folder: it raises what they say as ours.
    """

    def __init__(self, *, said: Callable[[str], AbstractContextManager[None]]) -> None:
        self._said = said
        self._rows: list[Row] = []
        self._weight = self.count = 0
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

    def table(self) -> Any:
        """Return all rows as an Arrow table; none can be added any more."""
        import pyarrow as pa

        self._write()
        self._writer.close()
        return pa.ipc.open_file(self._stack.enter_context(pa.memory_map(self._file))).read_all()

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
                arrays = [pa.array(*column) for column in zip(columns, kinds, strict=True)]
                arrays.append(pa.array(range(self.count, self.count + len(rows)), pa.int64()))
                self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
                self.count += len(rows)

    def _open(self) -> None:
        import pyarrow as pa

        kinds = [pa.float64() if name in NUMBERS else pa.string() for name in ROW]
        fields = [*zip(ROW, kinds, strict=True), ("place", pa.int64())]
        self._schema = pa.schema(fields)
        sink = self._stack.enter_context(pa.OSFile(self._file, "wb"))
        self._writer = self._stack.enter_context(pa.ipc.new_file(sink, self._schema))
