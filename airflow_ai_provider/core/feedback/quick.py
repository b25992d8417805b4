"""The quick way from a source's records to rows: what ``parse`` says, or nothing.

Nearly every record is plain: texts that print, a moment with a zone, ordinary numbers. Plain ones
become rows here, many at a time and column by column, in a fraction of the time. Whatever is not
plain is declined (None), and ``parse`` decides; a property-based test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

from airflow_ai_provider.core.feedback.quick_values import (
    Column,
    Declined,
    check_texts,
    is_said,
    read_attributes,
    read_comment,
    read_each,
    read_label,
    read_moments,
    read_number,
    read_score,
)
from airflow_ai_provider.core.feedback.record import (
    FIELDS,
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
_encode_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder().decode
_REFUSED = (TypeError, ValueError, OverflowError, RecursionError)

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
            except (Declined, msgspec.DecodeError, *_REFUSED):
                return None
        try:
            return self.rows(list(map(_decode, lines)))
        except (msgspec.DecodeError, *_REFUSED):
            return None

    def rows(self, documents: Sequence[Any]) -> list[Row] | None:
        """Return the rows of ``documents``, None when one of them is not plain."""
        try:
            return self._of(*self._columns(documents)) if documents else []
        except (Declined, *_REFUSED):
            return None

    def _of(self, columns: Sequence[Column], rest: Column | None = None) -> list[Row]:
        (ids, models, moments, labels, values, scores, predicted, versions, partitions, sources,
         kinds, comments, own) = columns  # fmt: skip
        none: Column = (None,) * len(ids)
        check_texts(ids)
        check_texts([text for text in predicted if text is not None])
        models = self._often([self._model_name if m is None else m for m in models])
        if None in models:
            raise Declined
        versions, partitions, sources = map(self._often, (versions, partitions, sources))
        moments = read_moments(moments)
        kinds = ["person" if kind is None else kind for kind in kinds]
        if max(moments) > self._latest or not _KINDS.issuperset(kinds):
            raise Declined
        if any(a is b is c is None for a, b, c in zip(labels, values, scores, strict=True)):
            raise Declined
        labels, label_texts, label_numbers = read_each(read_label, labels, 3) or (none, none, none)
        values, exact_values = read_each(read_number, values, 2) or (none, none)
        scores, exact_scores = read_each(read_score, scores, 2) or (none, none)
        (comments,) = read_each(read_comment, comments, 1) or (none,)
        attributes, raw = none, none
        if rest is not None or is_said(own):
            attributes = list(map(read_attributes, own, rest or none))
            raw = [text and msgspec.Raw(text.encode()) for text in attributes]
        content = dict(zip(FIELDS, (
            ids, models, moments, labels, exact_values, exact_scores, predicted, versions,
            partitions, sources, kinds, comments, raw,
        ), strict=True))  # fmt: skip
        contents = list(map(_Content, *(content[name] for name in _CANONICAL)))
        hashes = [sha256(line).hexdigest() for line in _encode_lines(contents).split(b"\n") if line]
        return list(zip(
            ids, hashes, models, moments, label_texts, label_numbers, values, scores, predicted,
            versions, partitions, sources, kinds, comments, attributes, strict=True,
        ))  # fmt: skip

    def _columns(self, documents: Sequence[Any]) -> tuple[list[Column], Column | None]:
        """Return the values of each field of the contract, and what documents have besides."""
        if set(map(type, documents)) != {dict}:
            raise Declined
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
                check_texts([text])
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
