"""JSON Lines, in blocks of whole lines: read line by line, or a block at a time.

To handle a million lines one by one takes longer than to read what they say. Whoever can make
something of a whole block takes its ``data``; whoever cannot, because something in it is not plain,
iterates over it: then each line is a record with its place, or says why it is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from airflow_ai_provider.core.feedback.quick import quick_json
from airflow_ai_provider.core.feedback.source import SourceRecord

MAX_LINE = 64 * 2**20
BLOCK, PART = 2 * 2**20, 128 * 2**10
_UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LineBlock:
    """Whole lines; ``first`` is the number of the first in its file.

    Of a line beyond ``max_line`` bytes, which is the last of its block, not all may be there.
    """

    first: int
    data: bytes
    max_line: int = MAX_LINE

    def __iter__(self) -> Iterator[SourceRecord]:
        """Yield what each line says; an empty one says nothing."""
        data = self.data.removeprefix(_UTF8_MARK) if self.first == 1 else self.data
        for number, line in enumerate(data.split(b"\n"), self.first):
            place = f"line {number}"
            if len(line) >= self.max_line:
                problem = f"the line is longer than {self.max_line} bytes"
                yield SourceRecord(place, line[:1000], None, problem)
            elif record := line.strip():
                yield read_line(place, record)

    def parts(self, size: int = PART) -> Iterator[LineBlock]:
        """Yield the lines again in blocks of about ``size`` bytes.

        Values of Python come and go in half the time while there are few enough to stay in the
        processor's cache; and a line that is not plain keeps fewer others from going together.
        """
        first, begin = self.first, 0
        while begin < len(self.data):
            end = self.data.find(b"\n", begin + size - 1) + 1 or len(self.data)
            yield LineBlock(first, self.data[begin:end], self.max_line)
            first += self.data.count(b"\n", begin, end)
            begin = end


def line_blocks(
    stream: BinaryIO, max_line: int = MAX_LINE, *, size: int = BLOCK
) -> Iterator[LineBlock]:
    """Yield the lines of ``stream`` in blocks of about ``size`` bytes."""
    number = 1
    while data := stream.read(size):
        if not data.endswith(b"\n"):
            marked = number == 1 and _UTF8_MARK.startswith(data[:3])  # which is not of the line
            data += stream.readline(max_line + len(_UTF8_MARK) * marked)
            if not data.endswith(b"\n"):  # the end of the file, or a line without one
                while (rest := stream.readline(max_line)) and not rest.endswith(b"\n"):
                    pass
        yield LineBlock(number, data, max_line)
        number += data.count(b"\n") + (not data.endswith(b"\n"))


def read_line(place: str, line: bytes) -> SourceRecord:
    """Return what a line of JSON Lines says."""
    document = quick_json(line)
    if document is not None:
        return SourceRecord(place, line, document)
    try:
        return SourceRecord(place, line, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        problem = f"it is no UTF-8 text: byte {error.start} cannot be read"
    except json.JSONDecodeError as error:
        problem = f"it is no JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:  # an integer of more digits than Python reads
        problem = f"it is no JSON that can be read: {error}"
    return SourceRecord(place, line, None, problem)
