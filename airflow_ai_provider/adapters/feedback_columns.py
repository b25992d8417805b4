"""Plain feedback in columns: a block of JSON Lines as Arrow, no value of it ever Python's.

Arrow reads a block and puts the canonical JSON of its records together, whose hashes alone Python
sees; what it hands on are the columns of the rows that ``parse`` and ``row_of`` would have made.
Whatever Arrow might read in another way than those is declined: the block then goes the way of
rows. A property-based test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from airflow_ai_provider.adapters.feedback_canonical import canonical_hashes, json_text
from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL
from airflow_ai_provider.core.feedback.quick import ROW
from airflow_ai_provider.core.feedback.record import (
    FIELDS,
    MAX_INTEGER,
    SourceKind,
    moment_text,
)

_KINDS = frozenset(kind.value for kind in SourceKind)
_IDS = ("feedback_id", "model_name", "prediction_id", "model_version", "partition", "source")
_NUMBERS = frozenset({"value", "score"})
_LEAST, _MOST_BROKEN = 1e-4, 1e15  # between which all write a number that is no whole one alike
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_SIGNS = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", 19: "Z"}
_MOMENT, _TAIL = 20, b".000000+00:00"


class _Declined(Exception):  # noqa: N818 - nothing is wrong
    """Something in the block is not plain."""


class ColumnReader:
    """Reads blocks of plain lines, in any thread; arguments as those of ``parse``."""

    def __init__(
        self,
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self._names = {(mapping or {}).get(ours, ours): ours for ours in FIELDS}
        self._model_name = model_name
        self._latest = "~" if not_after is None else moment_text(not_after)

    def batch(self, data: bytes) -> Any | None:
        """Return the columns of the rows of ``data``, whole lines, None when they are not plain."""
        import pyarrow as pa

        try:
            return self._batch(data)
        except (_Declined, pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None

    def _batch(self, data: bytes) -> Any:
        import pyarrow as pa

        columns = self._read(data, _count(data))
        clean = _is_clean(data)
        if not clean:
            for column in columns.values():
                column.validate(full=True)  # that it is UTF-8
        columns = self._checked(columns, clean=clean)
        rows = len(columns["feedback_id"])
        told = {name: column for name, column in columns.items() if column.null_count < rows}
        columns["content_hash"] = canonical_hashes(told)
        columns.update(_labels(columns["label"]))
        columns["attributes"] = pa.nulls(rows, pa.string())
        return pa.record_batch([columns[name] for name in ROW], names=list(ROW))

    def _read(self, data: bytes, rows: int) -> dict[str, Any]:
        """Return the columns of a block by our names."""
        import pyarrow as pa
        from pyarrow import json as arrow

        if len(self._names) < len(FIELDS):  # two of ours are one of theirs
            raise _Declined
        kinds = {ours: pa.float64() if ours in _NUMBERS else pa.string() for ours in FIELDS}
        kinds["label"] = self._label_kind(data)
        schema = [(name, kinds[o]) for name, o in self._names.items() if o != "attributes"]
        table = arrow.read_json(
            pa.BufferReader(data),
            read_options=arrow.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow.ParseOptions(
                explicit_schema=pa.schema(schema), unexpected_field_behavior="error"
            ),
        )
        if table.num_rows != rows:
            raise _Declined
        [batch] = table.combine_chunks().to_batches()
        return {self._names[name]: batch.column(name) for name, _ in schema}

    def _label_kind(self, data: bytes) -> Any:
        """Return what a label is in the first line: in one block all are alike, or it is not plain.

        Left to itself, Arrow would make a moment of a text that looks like one.
        """
        import pyarrow as pa

        [theirs] = [name for name, ours in self._names.items() if ours == "label"]
        try:
            label = msgspec.json.decode(data.partition(b"\n")[0]).get(theirs)
        except (msgspec.DecodeError, ValueError, RecursionError, AttributeError):
            raise _Declined from None
        if isinstance(label, bool):
            return pa.bool_()
        return pa.string() if isinstance(label, str) else pa.float64()

    def _checked(self, columns: Mapping[str, Any], *, clean: bool) -> dict[str, Any]:
        """Return the columns as rows have them, when everything in them is plain."""
        import pyarrow as pa
        from pyarrow import compute as pc

        found = dict(columns)
        if self._model_name is not None:
            found["model_name"] = pc.fill_null(found["model_name"], self._model_name)
        found["source_kind"] = pc.fill_null(found["source_kind"], "person")
        if not _KINDS.issuperset(pc.unique(found["source_kind"]).to_pylist()):
            raise _Declined
        if any(found[name].null_count for name in ("feedback_id", "model_name", "observed_at")):
            raise _Declined
        said = [pc.is_valid(found[name]) for name in ("label", "value", "score")]
        if not pc.all(pc.or_(pc.or_(said[0], said[1]), said[2])).as_py():
            raise _Declined
        for name in _IDS:
            _texts(found[name], MAX_ID, clean=clean)
        found["observed_at"] = _moments(found["observed_at"], self._latest)
        _numbers(found["value"])
        _numbers(found["score"], 1, 5)
        if pa.types.is_string(found["label"].type):
            _texts(found["label"], MAX_LABEL, clean=clean)
        elif pa.types.is_floating(found["label"].type):
            _numbers(found["label"])
        found["comment"] = _comments(found["comment"], clean=clean)
        return found


def _count(data: bytes) -> int:
    """Return how many lines there are, when each of them can only be one object.

    Arrow reads several objects in a line, and an object over lines, too. Between the lines here
    there is nothing that JSON has inside an object, so there are as many objects as lines when
    neither is the case.
    """
    import numpy as np

    if not (data.startswith(b"{") and data.endswith((b"}\n", b"}"))):
        raise _Declined
    characters = np.frombuffer(data, np.uint8)[: len(data) - data.endswith(b"\n")]
    ends = np.flatnonzero(characters == ord("\n"))
    if (characters[ends - 1] != ord("}")).any() or (characters[ends + 1] != ord("{")).any():
        raise _Declined
    return len(ends) + 1


def _is_clean(data: bytes) -> bool:
    """Whether every text in ``data`` is of printable ASCII, without a backslash.

    JSON has no control characters but escaped ones, so none where only quotes are escaped.
    """
    import numpy as np

    if not data.isascii() or b"\x7f" in data:
        return False
    if b"\\" not in data:
        return True
    characters = np.frombuffer(data, np.uint8)
    escapes = np.flatnonzero(characters[:-1] == ord("\\"))
    return bool((characters[escapes + 1] == ord('"')).all())


def _labels(label: Any) -> dict[str, Any]:
    """Return labels as JSON and as the numbers that they count as."""
    import pyarrow as pa
    from pyarrow import compute as pc

    text = json_text(label)
    if pa.types.is_string(label.type):
        quoted = pc.binary_join_element_wise('"', text, '"', "")
        return {"label": quoted, "label_number": pa.nulls(len(label), pa.float64())}
    if pa.types.is_boolean(label.type):
        label = pc.cast(label, pa.int8())
    return {"label": text, "label_number": pc.cast(label, pa.float64())}


def _texts(column: Any, most: int, *, clean: bool) -> None:
    """Decline what is long, begins with a space, or has a character that may not print."""
    from pyarrow import compute as pc

    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if lengths["min"] is None:
        return
    if lengths["min"] < 1 or lengths["max"] > most or pc.any(pc.starts_with(column, " ")).as_py():
        raise _Declined
    if not clean and pc.any(pc.match_substring_regex(column, "[^ -~]")).as_py():
        raise _Declined


def _comments(column: Any, *, clean: bool) -> Any:
    """Return comments, an empty one as none."""
    import pyarrow as pa
    from pyarrow import compute as pc

    if not clean and pc.any(pc.match_substring_regex(column, r"[\x00-\x1f]")).as_py():
        raise _Declined
    empty = pc.equal(pc.binary_length(column), 0)
    if pc.any(empty).as_py():
        return pc.if_else(empty, pa.scalar(None, pa.string()), column)
    return column


def _numbers(column: Any, low: float = -MAX_INTEGER, high: float = MAX_INTEGER) -> None:
    """Decline numbers out of bounds, and those of which it could be asked how they are written."""
    import numpy as np

    values = column.drop_null().to_numpy(zero_copy_only=False)
    size = np.abs(values)
    whole = np.floor(values) == values
    plain = np.where(whole, ~((values == 0) & np.signbit(values)), size >= _LEAST)
    plain &= (values >= low) & (values <= high) & (whole | (size <= _MOST_BROKEN))
    if not plain.all():
        raise _Declined


def _moments(column: Any, latest: str) -> Any:
    """Return moments like ``2013-04-01T15:12:00Z`` as rows have them."""
    import numpy as np
    import pyarrow as pa

    rows = len(column)
    _, offsets, characters = column.buffers()
    starts = np.frombuffer(offsets, np.int32)[column.offset : column.offset + rows + 1]
    if not (np.diff(starts) == _MOMENT).all():
        raise _Declined
    texts = np.frombuffer(characters, np.uint8)[starts[0] : starts[-1]].reshape(rows, _MOMENT)
    if any((texts[:, place] != ord(sign)).any() for place, sign in _SIGNS.items()):
        raise _Declined
    digits = texts[:, _DIGITS] - np.uint8(ord("0"))
    if (digits > 9).any():
        raise _Declined
    hour, minute, second = (digits[:, at] * 10 + digits[:, at + 1] for at in (8, 10, 12))
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        raise _Declined
    days = digits[:, :8] @ np.array([10**power for power in range(7, -1, -1)], np.int32)
    for day in np.unique(days).tolist():
        _is_day(day)
    moments = ((days.astype(np.int64) * 100 + hour) * 100 + minute) * 100 + second
    newest = texts[moments.argmax(), :19].tobytes() + _TAIL
    if newest.decode() > latest:
        raise _Declined
    written = np.empty((rows, 19 + len(_TAIL)), np.uint8)
    written[:, :19] = texts[:, :19]
    written[:, 19:] = np.frombuffer(_TAIL, np.uint8)
    ends = np.arange(rows + 1, dtype=np.int32) * written.shape[1]
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(written))


def _is_day(day: int) -> None:
    try:
        date(day // 10_000, day // 100 % 100, day % 100)
    except ValueError:
        raise _Declined from None
