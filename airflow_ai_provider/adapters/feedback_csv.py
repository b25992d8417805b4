"""Feedback in CSV files, row by row: what is no row of the header's width is refused, not guessed.

Cells are texts. Of the fields of the contract ``value`` and ``score`` are read as numbers where
they are written as JSON writes them, ``label`` as a number or a truth value; an empty cell is
absent. Everything else stays the text that it is.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, BinaryIO

from airflow_ai_provider.adapters.csv_lines import Lines
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.source import SourceRecord

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_MARK = "\ufeff"
_DELIMITERS = ",;\t|"


def is_csv(name: str) -> bool:
    """Whether a file of this name is read as CSV."""
    return name.lower().endswith((".csv", ".tsv"))


def typed(cells: Mapping[str, str], mapping: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells of a row with the contract's numbers and objects read out of their texts."""
    document: dict[str, Any] = {name: text for name, text in cells.items() if text != ""}
    for ours in ("value", "score"):
        theirs = mapping.get(ours, ours)
        if theirs in document:
            document[theirs] = _number(document[theirs])
    label = mapping.get("label", "label")
    if label in document:
        text = document[label]
        document[label] = {"true": True, "false": False}.get(text.strip().lower(), _number(text))
    return document


def read_csv(
    stream: BinaryIO, name: str, mapping: Mapping[str, str], *, max_line: int
) -> Iterator[SourceRecord]:
    """Yield every row after the header of the CSV file ``stream``.

    :raises FeedbackSourceError: the header cannot be read, or names a column twice.
    """
    lines = Lines(stream, max_line)
    header, delimiter = _header(lines, name)
    if not header:
        return
    csv.field_size_limit(max(csv.field_size_limit(), max_line))
    reader = _reader(lines, delimiter)
    while True:
        lines.taken = []
        try:
            cells = next(reader)
            problem = _problem(cells, header, lines.text, delimiter)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"it is no row of CSV: {error}"
            lines.put_back(1)  # the first line is at fault; those after it may be rows
            cells, reader = [], _reader(lines, delimiter)
        if not lines.text.strip():
            continue
        place = f"line {lines.number - len(lines.taken) + 1}"
        if problem is not None:
            yield SourceRecord(place, lines.raw, None, problem)
            continue
        raw = dict(zip(header, cells, strict=True))
        yield SourceRecord(place, raw, typed(raw, mapping))


def _reader(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _header(lines: Lines, name: str) -> tuple[list[str], str]:
    try:
        first = next(lines)
    except StopIteration:
        return [], ","
    first = first.removeprefix(_MARK)
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        header = next(_reader(iter([first]), delimiter), [])
    except csv.Error as error:
        raise _no_header(name, str(error)) from error
    twice = {column for column in header if header.count(column) > 1}
    if twice or not any(header) or not _is_text(first):
        why = f"the column {sorted(twice)[0]!r} is there twice" if twice else "it names no columns"
        raise _no_header(name, why)
    return header, delimiter


def _no_header(name: str, why: str) -> FeedbackSourceError:
    return FeedbackSourceError(
        f"The first line of {name} is no header: {why}.",
        remedy="Write the names of the columns there, in UTF-8.",
        path=name,
    )


def _problem(cells: list[str], header: list[str], text: str, delimiter: str) -> str | None:
    if not _is_text(text):
        return "it is no UTF-8 text"
    if len(cells) != len(header):
        return f"it has {len(cells)} cells where the header has {len(header)}"
    if '"' in text and not _quoted_well(delimiter).fullmatch(text):
        # what follows a row that was broken inside its quotes looks like a row of its own
        return "a quote stands inside a cell that is not quoted"
    return None


@cache
def _quoted_well(delimiter: str) -> re.Pattern[str]:
    sign = re.escape(delimiter)
    cell = rf'(?:"[^"]*(?:""[^"]*)*"|[^"{sign}\r\n]*)'
    return re.compile(rf"{cell}(?:{sign}{cell})*(?:\r\n|\n|\r)?")


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in text)


def _number(text: str) -> Any:
    found = text.strip()
    if _NUMBER.fullmatch(found) is None:
        return text
    return json.loads(found)
