"""Rows on their way to the store, kept in a temporary file.

Reading and checking a source takes much longer than writing it. Spooled first, a batch is written
in one short transaction with flat memory, and a source that breaks half way has written nothing.
"""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

_IN_MEMORY = 16 * 2**20


class Spool:
    """A queue of rows (tuples of plain values), written once and read back in pieces."""

    def __init__(self, piece: int = 5_000, piece_bytes: int = 8 * 2**20) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed below
        self._piece, self._piece_bytes = piece, piece_bytes
        self._rows: list[tuple[Any, ...]] = []
        self._weight = self._pieces = 0
        self.count = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: tuple[Any, ...], *, weight: int = 0) -> None:
        """Append a row; ``weight`` is about how many bytes it takes, where that may be many."""
        self._rows.append(row)
        self._weight += weight
        self.count += 1
        if len(self._rows) >= self._piece or self._weight >= self._piece_bytes:
            self._flush()

    def extend(self, rows: Sequence[tuple[Any, ...]], *, weight: int = 0) -> None:
        """Append rows that take about ``weight`` bytes together."""
        self._rows += rows
        self._weight += weight
        self.count += len(rows)
        if len(self._rows) >= self._piece or self._weight >= self._piece_bytes:
            self._flush()

    def pieces(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield every row in the order of ``add``."""
        self._flush()
        self._file.seek(0)
        for _ in range(self._pieces):
            size = int.from_bytes(self._file.read(8), "big")
            yield marshal.loads(self._file.read(size))  # noqa: S302 - our own, in an unlinked file

    def _flush(self) -> None:
        if self._rows:
            data = marshal.dumps(self._rows)  # marshal.load from a file reads byte by byte
            self._file.write(len(data).to_bytes(8, "big"))
            self._file.write(data)
            self._rows, self._weight = [], 0
            self._pieces += 1
