"""The quick way from a source's records to rows: what ``parse`` says, or nothing.

Nearly every record is plain: texts that print, a moment with a zone, ordinary numbers. Plain ones
become rows here, many at a time and column by column, in a fraction of the time. Whatever is not
plain is declined (None), and ``parse`` decides; a property-based test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timezone
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL
from airflow_ai_provider.core.feedback.record import (
    FIELDS,
    MAX_INTEGER,
    FeedbackRecord,
    SourceKind,
    moment_text,
)

Row = tuple[Any, ...]

ROW = (
    "feedback_id",
    "content_hash",
    "model_name",
    "observed_at",
    "label",
    "label_number",
    "value",
    "score",
    "prediction_id",
    "model_version",
    "partition",
    "source",
    "source_kind",
    "comment",
    "attributes",
)
_KINDS = frozenset(kind.value for kind in SourceKind)
_MOST_SEEN = 10_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_PRECISION = {16: "minutes", 19: "seconds", 23: "milliseconds", 26: "microseconds"}
_REST = {
    "minutes": ":00.000000+00:00",
    "seconds": ".000000+00:00",
    "milliseconds": "000+00:00",
    "microseconds": "+00:00",
}
_SECONDS = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z\n)+"
)

_REFUSED = (TypeError, ValueError, OverflowError, RecursionError)

Column = Sequence[Any]
_GETTERS = tuple(map(attrgetter, FIELDS))
_TYPES: dict[str, Any] = {
    "label": str | bool | int | float,
    "value": int | float,
    "score": int | float,
    "attributes": dict[str, Any],
}

_CANONICAL = sorted(FIELDS)  # the order of canonical JSON
_Content = msgspec.defstruct(  # what goes under the hash
    "_Content", [(name, Any, None) for name in _CANONICAL], omit_defaults=True, gc=False
)


def row_of(record: FeedbackRecord) -> Row:
    """Return ``record`` as the values that ``ROW`` names, in the form that a driver takes."""
    return (
        record.feedback_id,
        record.content_hash,
        record.model_name,
        moment_text(record.observed_at),
        record.label_json,
        record.label_number,
        record.value,
        record.score,
        record.prediction_id,
        record.model_version,
        record.partition,
        record.source,
        record.source_kind.value,
        record.comment,
        record.attributes_json,
    )


def quick_json(line: bytes) -> Any:
    """Return what ``json.loads`` says of ``line``, or None when that has to be asked."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


class _Declined(Exception):  # noqa: N818 - nothing is wrong
    """The record is not plain."""


class QuickRows:
    """Reads the plain records of one source; arguments as those of ``parse``."""

    def __init__(
        self,
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self._names = tuple((mapping or {}).get(ours, ours) for ours in FIELDS)
        self._taken = frozenset(self._names)
        self._several = len(self._taken) < len(FIELDS)  # two of ours are one field of theirs
        self._model_name = model_name
        self._latest = "~" if not_after is None else moment_text(not_after)
        self._seen: set[str] = set()
        self._decode = None if self._several else _decoder(self._names)

    def lines(self, data: bytes) -> list[Row] | None:
        """Return the rows of ``data``, whole lines of JSON, None when one of them is not plain."""
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        if self._decode is not None:
            try:
                return self._of(_columns_of(list(map(self._decode, lines))))
            except msgspec.ValidationError:  # of another shape, as the next will be
                self._decode = None
            except (_Declined, msgspec.DecodeError, *_REFUSED):
                return None
        try:
            return self.rows(list(map(_decode, lines)))
        except (msgspec.DecodeError, *_REFUSED):
            return None

    def rows(self, documents: Sequence[Any]) -> list[Row] | None:
        """Return the rows of ``documents``, None when one of them is not plain."""
        try:
            return self._of(*self._columns(documents)) if documents else []
        except (_Declined, *_REFUSED):
            return None

    def _of(self, columns: Sequence[Column], rest: Column | None = None) -> list[Row]:
        (ids, models, moments, labels, values, scores, predicted, versions, partitions, sources,
         kinds, comments, own) = columns  # fmt: skip
        none: Column = (None,) * len(ids)
        _texts(ids)
        _texts([text for text in predicted if text is not None])
        models = self._often([self._model_name if m is None else m for m in models])
        if None in models:
            raise _Declined
        versions, partitions, sources = map(self._often, (versions, partitions, sources))
        moments = _moments(moments)
        kinds = ["person" if kind is None else kind for kind in kinds]
        if max(moments) > self._latest or not _KINDS.issuperset(kinds):
            raise _Declined
        if any(a is b is c is None for a, b, c in zip(labels, values, scores, strict=True)):
            raise _Declined
        labels, label_texts, label_numbers = _each(_label, labels, 3) or (none, none, none)
        values, exact_values = _each(_number, values, 2) or (none, none)
        scores, exact_scores = _each(_score, scores, 2) or (none, none)
        (comments,) = _each(_comment, comments, 1) or (none,)
        attributes, raw = none, none
        if rest is not None or _is_said(own):
            attributes = list(map(_attributes, own, rest or none))
            raw = [text and msgspec.Raw(text.encode()) for text in attributes]
        content = dict(zip(FIELDS, (
            ids, models, moments, labels, exact_values, exact_scores, predicted, versions,
            partitions, sources, kinds, comments, raw,
        ), strict=True))  # fmt: skip
        hashes = [
            sha256(_encode(one)).hexdigest()
            for one in map(_Content, *(content[name] for name in _CANONICAL))
        ]
        return list(zip(
            ids, hashes, models, moments, label_texts, label_numbers, values, scores, predicted,
            versions, partitions, sources, kinds, comments, attributes, strict=True,
        ))  # fmt: skip

    def _columns(self, documents: Sequence[Any]) -> tuple[list[Column], Column | None]:
        """Return the values of each field of the contract, and what documents have besides."""
        if set(map(type, documents)) != {dict}:
            raise _Declined
        shapes = set(map(tuple, documents))
        if len(shapes) == 1 and not self._several:
            [shape] = shapes
            found = dict(zip(shape, zip(*map(dict.values, documents), strict=True), strict=True))
            none = (None,) * len(documents)
            columns: list[Column] = [found.get(name, none) for name in self._names]
        else:
            columns = [[document.get(name) for document in documents] for name in self._names]
        if all(self._taken.issuperset(shape) for shape in shapes):
            return columns, None
        taken = self._taken
        return columns, [
            {name: value for name, value in document.items() if name not in taken}
            for document in documents
        ]

    def _often(self, column: Column) -> Column:
        """Look at texts that many records share once each."""
        for text in set(column).difference(self._seen):
            if text is not None:
                _texts([text])
                if len(self._seen) < _MOST_SEEN:
                    self._seen.add(text)
        return column


def _decoder(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Return what reads a line that has no fields but those, and each of its kind.

    With a place for each field this takes half as long as to make a dictionary of a line.
    """
    fields = [(ours, _TYPES.get(ours, str) | None, None) for ours in FIELDS]
    line = msgspec.defstruct(
        "_Line",
        fields,
        rename=dict(zip(FIELDS, names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(line).decode


def _columns_of(lines: Sequence[Any]) -> list[Column]:
    return [list(map(get, lines)) for get in _GETTERS]


def _texts(column: Column) -> None:
    if column and not (
        set(map(type, column)) == {str}
        and all(map(str.isprintable, column))
        and max(map(len, column)) <= MAX_ID
        and "" not in column
        and not any(map(str.isspace, column))
    ):
        raise _Declined


def _each(
    read: Callable[[Any], tuple[Any, ...]], column: Column, width: int
) -> list[Column] | None:
    """Return the columns that ``read`` makes of a column, None of one without a value."""
    if not _is_said(column):
        return None
    nothing = (None,) * width
    return list(zip(*[nothing if value is None else read(value) for value in column], strict=True))


def _is_said(column: Column) -> bool:
    return any(value is not None for value in column)


def _moments(column: Column) -> Column:
    """Return moments in UTC as ``moment_text`` writes them."""
    if set(map(type, column)) != {str}:
        raise _Declined
    if _SECONDS.fullmatch("\n".join(column) + "\n"):
        for day in {text[:10] for text in column}:
            date.fromisoformat(day)
        return [text[:19] + ".000000+00:00" for text in column]
    return list(map(_moment, column))


def _moment(text: str) -> str:
    """Return a moment in UTC as ``moment_text`` writes it."""
    if text[-1:] == "Z":
        local, zone = text[:-1], "+00:00"
    else:
        local, zone = text[:-6], text[-6:]
    moment = datetime.fromisoformat(local)
    precision = _PRECISION.get(len(local))
    # which texts fromisoformat reads differs by version; what it gives back does not
    if precision is None or moment.isoformat(timespec=precision) != local:
        raise _Declined
    if zone == "+00:00":
        return local + _REST[precision]
    moment = datetime.fromisoformat(text)
    if moment.isoformat(timespec=precision) != text:
        raise _Declined
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _label(label: Any) -> tuple[Any, str, float | None]:
    """Return a label as it goes under the hash, as JSON, and as the number that it counts as."""
    if type(label) is str:
        if not label or len(label) > MAX_LABEL or label.isspace():
            raise _Declined
        return label, _encode(label).decode(), None
    if type(label) is bool:
        return label, "true" if label else "false", float(label)
    number, exact = _number(label)
    return exact, repr(exact), number


def _number(number: Any) -> tuple[float, float]:
    """Return a number as a float, and as canonical JSON writes it without an exponent."""
    if type(number) is float:
        if number.is_integer() and abs(number) <= MAX_INTEGER:
            return number, int(number)
        if 1e-4 <= abs(number) <= MAX_INTEGER and not number.is_integer():
            return number, number
    elif type(number) is int and abs(number) <= MAX_INTEGER:
        return float(number), number
    raise _Declined


def _score(score: Any) -> tuple[float, float]:
    number, exact = _number(score)
    if not 1 <= number <= 5:
        raise _Declined
    return number, exact


def _comment(comment: Any) -> tuple[str | None]:
    if type(comment) is not str or "\x00" in comment:
        raise _Declined
    return (comment or None,)


def _attributes(own: Any, rest: Mapping[str, Any] | None) -> str | None:
    """Return the attributes as canonical JSON, when they are flat and their names are ASCII."""
    found = dict(rest or {})
    if own is not None:
        if type(own) is not dict or not found.keys().isdisjoint(own):
            raise _Declined
        found.update(own)
    exact: dict[str, Any] = {}
    for name in sorted(found):
        value = found[name]
        if value is None:
            continue
        if type(name) is not str or not name.isascii():
            raise _Declined
        exact[name] = value if type(value) in {str, bool} else _number(value)[1]
    return _encode(exact).decode() if exact else None
