"""Malformed and hostile records: made from a seed, each with the line or row it stands in."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

LARGE = 10_000_000
MOMENTS: list[Any] = [
    "2013-06-10T00:00:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2013-02-30T00:00:00Z", "yesterday",
    1370822400, "2013-06-10", "2013-06-10T25:00:00Z", "2013-06-10T00:00:00+99:99", "", None,
    "\u0662\u0660\u0661\u0663-06-10T00:00:00Z",
]  # fmt: skip
TEXTS = [
    "", " ", "\x00", "a\x00b", "\x07\x1b[2J", "\u202e", "\ud800", "x" * 3000, "=1+1",
    "=HYPERLINK(\"http://x\")", "+cmd|' /C calc'!A0", "@SUM(1)", "-1+1",
    "'; DROP TABLE feedback; --", '" OR 1=1 --', "%s %(a)s {0} :id ?", "NaN", "null", "späte ✈",
    "line\nbreak\r\n", ",;\t|", '"', "<script>alert(1)</script>", "\\", "\u2028", "true", "1e999",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 5.0001, 1e308, -1e-320, float("nan"), float("inf"), 10**30, -(2**53),
    [], {}, [[{}]], {"a": None}, [float("nan")], *TEXTS,
]  # fmt: skip
FIELDS = [
    "feedback_id", "model_name", "label", "value", "score", "prediction_id", "model_version",
    "partition", "source", "source_kind", "comment", "attributes", "unknown", "",
]  # fmt: skip


def document(generator: random.Random, number: int) -> dict[str, Any]:
    """Return a record that is spoiled in up to three places, or not at all."""
    found: dict[str, Any] = {
        "feedback_id": f"f{number}",
        "model_name": "m",
        "observed_at": "2013-06-10T00:00:00Z",
        "label": number % 2,
    }
    for _ in range(generator.randrange(4)):
        if generator.random() < 0.2:
            found["observed_at"] = generator.choice(MOMENTS)
        else:
            field = generator.choice(FIELDS)
            value = generator.choice(VALUES)
            is_id = field == "feedback_id" and value not in (None, "", " ")
            found[field] = f"{value}{number}" if is_id else value
    if generator.random() < 0.1:
        del found[generator.choice(list(found))]
    return found


def large(number: int) -> dict[str, Any]:
    """Return a record with a comment of ten megabytes."""
    whole = {"feedback_id": f"f{number}", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z"}
    return {**whole, "score": 3, "comment": "y" * LARGE}


def json_line(generator: random.Random, number: int) -> bytes:
    """Return a line without its end: a record, or what is left of one."""
    if number % 5000 == 2500:
        return json.dumps(large(number)).encode()
    text = json.dumps(document(generator, number), ensure_ascii=generator.random() < 0.5)
    line = text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")
    choice = generator.randrange(16)
    if choice == 0:
        return line[: generator.randrange(1, len(line))]
    if choice == 1:
        spoiled = bytearray(line[:5000])
        for _ in range(3):
            spoiled[generator.randrange(len(spoiled))] = generator.choice([0, 7, 34, 92, 200, 255])
        return bytes(spoiled)
    if choice == 2:
        nested = generator.choice([b"[", b'{"a":']) * generator.randrange(1, 50_000)
        return generator.choice([nested, b'{"feedback_id": "x", "attributes": ' + nested])
    if choice == 3:
        codec = generator.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp037"])
        return text.encode(codec, "replace").replace(b"\n", b" ")
    if choice == 4:
        return generator.choice([b"null", b"[]", b"1", b'"text"', b"{}", b"{,}", b"NaN", b"\xff"])
    return line


def write_lines(path: Path, count: int, seed: int) -> list[bytes]:
    """Write ``count`` lines; return them."""
    generator = random.Random(seed)
    lines = [json_line(generator, number) for number in range(count)]
    path.write_bytes(b"\n".join(lines))
    return lines


def write_csv(path: Path, count: int, seed: int) -> list[list[str]]:
    """Write ``count`` rows under a header, some of them no rows; return their cells.

    The last cell is ``#NUMBER#``: whatever becomes of a row, it is found by it.
    """
    generator = random.Random(seed)
    header = ["feedback_id", "model_name", "observed_at", *FIELDS[2:-1], "number"]
    rows = []
    with path.open("wb") as stream:
        stream.write((",".join(header) + "\r\n").encode())
        for number in range(count):
            found = {**document(generator, number), "number": f"#{number}#"}
            cells = ["" if (value := found.get(name)) is None else _cell(value) for name in header]
            rows.append(cells)
            stream.write(_row(generator, cells))
    return rows


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _row(generator: random.Random, cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    row = text.getvalue().encode("utf-8", "surrogatepass")
    choice = generator.randrange(16)
    if choice == 0:
        return b"x" + row.replace(b",", b"", 1)
    if choice == 1:
        return b'"no end,' + row.translate(None, b'"\r\n') + b"\r\n"
    if choice == 2:
        return b"\xff" + row
    return row
