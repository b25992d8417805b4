"""The quick way from a source's record to a row: what ``parse`` says, or nothing.

Nearly every record is plain: texts that print, a moment with a zone, ordinary numbers. Such a one
becomes a row here, in a fraction of the time. Whatever is not plain is declined (None), and
``parse`` decides; a property-based test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
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
_NO_LABEL = (None, None, None)
_NO_NUMBER = (None, None)
_PRECISION = {16: "minutes", 19: "seconds", 23: "milliseconds", 26: "microseconds"}
_REST = {
    "minutes": ":00.000000+00:00",
    "seconds": ".000000+00:00",
    "milliseconds": "000+00:00",
    "microseconds": "+00:00",
}


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

    def line(self, line: bytes) -> Row | None:
        """Return the row of a line of JSON Lines, None when it is not plain."""
        return self.document(quick_json(line))

    def document(self, document: Any) -> Row | None:
        """Return the row of a document, None when it is not plain."""
        if type(document) is not dict:
            return None
        values = tuple(map(document.get, self._names))
        rest = None
        if self._several or len(document) != len(FIELDS) - values.count(None):
            rest = {n: v for n, v in document.items() if v is not None and n not in self._taken}
        try:
            return self._row(values, rest)
        except (_Declined, TypeError, ValueError, OverflowError):
            return None

    def _row(self, values: tuple[Any, ...], rest: dict[str, Any] | None) -> Row:
        (id_, model, moment, label, value, score, predicted, version, part, source, kind, comment,
         own) = values  # fmt: skip
        _plain(id_)
        if predicted is not None:
            _plain(predicted)
        model = self._model_name if model is None else model
        self._often(model)
        for text in (version, part, source):
            if text is not None:
                self._often(text)
        moment = _moment(moment)
        kind = "person" if kind is None else kind
        if moment > self._latest or kind not in _KINDS or (label is value is score is None):
            raise _Declined
        label, label_json, label_number = _NO_LABEL if label is None else _label(label)
        value, exact_value = _NO_NUMBER if value is None else _number(value)
        score, exact_score = _NO_NUMBER if score is None else _number(score)
        if score is not None and not 1 <= score <= 5:
            raise _Declined
        comment = None if comment is None else _comment(comment)
        attributes = _attributes(own, rest) if own is not None or rest else None
        content = {  # in the order of canonical JSON
            "attributes": attributes and msgspec.Raw(attributes.encode()),
            "comment": comment,
            "feedback_id": id_,
            "label": label,
            "model_name": model,
            "model_version": version,
            "observed_at": moment,
            "partition": part,
            "prediction_id": predicted,
            "score": exact_score,
            "source": source,
            "source_kind": kind,
            "value": exact_value,
        }
        written = _encode({name: held for name, held in content.items() if held is not None})
        return (
            id_, sha256(written).hexdigest(), model, moment, label_json, label_number, value, score,
            predicted, version, part, source, kind, comment, attributes,
        )  # fmt: skip

    def _often(self, text: Any) -> None:
        """Look at a text that many records share once."""
        if text not in self._seen:  # a TypeError declines too
            _plain(text)
            if len(self._seen) < _MOST_SEEN:
                self._seen.add(text)


def _plain(text: Any) -> None:
    if not (
        type(text) is str and 0 < len(text) <= MAX_ID and text.isprintable() and text[0] != " "
    ):
        raise _Declined


def _moment(text: Any) -> str:
    """Return a moment in UTC as ``moment_text`` writes it."""
    if type(text) is not str:
        raise _Declined
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


def _comment(comment: Any) -> str | None:
    if type(comment) is not str or "\x00" in comment:
        raise _Declined
    return comment or None


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
