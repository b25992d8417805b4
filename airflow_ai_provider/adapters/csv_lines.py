"""The lines of a CSV file on their way to the CSV reader, which takes several for one row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

_MOST_LINES = 1000  # of one row: a quote that is never closed must not swallow the file


class Lines:
    """The lines of a file for the CSV reader, kept until a row is whole."""

    def __init__(self, stream: BinaryIO, max_line: int) -> None:
        self._stream, self._max_line = stream, max_line
        self._waiting: list[str] = []
        self.taken: list[str] = []
        self.number = 0
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.taken:
            self._size = 0
        if len(self.taken) >= _MOST_LINES or self._size > self._max_line:
            raise csv.Error(f"a quote is not closed within {len(self.taken)} lines")
        line = self._waiting.pop() if self._waiting else self._read()
        self.number += 1
        self.taken.append(line)
        self._size += len(line)
        return line

    def _read(self) -> str:
        line = self._stream.readline(self._max_line)
        if not line:
            raise StopIteration
        return line.decode("utf-8", "surrogateescape")

    def put_back(self, kept: int) -> None:
        """Give the lines after the first ``kept`` to the next row."""
        back = self.taken[kept:]
        self.taken = self.taken[:kept]
        self._waiting += reversed(back)
        self.number -= len(back)

    @property
    def text(self) -> str:
        """The row's lines."""
        return "".join(self.taken)

    @property
    def raw(self) -> bytes:
        """The row's lines as they stand in the file, without the last end of line."""
        return self.text.encode("utf-8", "surrogateescape").rstrip(b"\r\n")
