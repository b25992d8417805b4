"""The feedback contract: one record, read from any source, or refused with a reason.

A record says what became of a prediction (``outcome``), or what a person or a system thinks of it.
Its identity is ``feedback_id`` with the hash of its content, so that the same record read twice is
known for what it is, and a changed one for a revision.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any

import rfc8785

from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError
from airflow_ai_provider.core.gate import canonical

Label = str | bool | int | float

FIELDS = (
    "feedback_id",
    "model_name",
    "observed_at",
    "label",
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
_OWN_NAMES = {name: name for name in FIELDS}
MAX_ID = 250
MAX_LABEL = 1000
_MAX_INTEGER = 2**53 - 1
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r" ?(?:([Zz])|([+-])(\d\d):?(\d\d)?)",
    re.ASCII,
)
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


class SourceKind(str, Enum):
    """Who says it: a person, another system, or reality itself."""

    PERSON = "person"
    SYSTEM = "system"
    OUTCOME = "outcome"


_KINDS = {kind.value: kind for kind in SourceKind}


@dataclass(frozen=True, kw_only=True)
class FeedbackRecord:
    """One piece of feedback.

    ``label`` is a class name, a truth value or a number; ``label_number`` is what it counts as.
    ``value`` is a measured quantity, ``score`` an opinion from 1 to 5. ``partition`` is the part of
    the data that the prediction belongs to (``2013-04``).
    """

    feedback_id: str
    model_name: str
    observed_at: datetime
    label: Label | None = None
    value: float | None = None
    score: float | None = None
    prediction_id: str | None = None
    model_version: str | None = None
    partition: str | None = None
    source: str | None = None
    source_kind: SourceKind = SourceKind.PERSON
    comment: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON (RFC 8785) of every field that is set."""
        return hashlib.sha256(_canonical(self._content())).hexdigest()

    @property
    def attributes_json(self) -> str | None:
        """The attributes as canonical JSON, None when there are none."""
        return _canonical(self.attributes).decode() if self.attributes else None

    @property
    def label_json(self) -> str | None:
        """The label as canonical JSON (``"late"``, ``true``, ``1``), None when there is none."""
        return None if self.label is None else canonical(self.label).decode()

    @property
    def label_number(self) -> float | None:
        """The label as a number (true is 1), None when it is a name."""
        return None if self.label is None or isinstance(self.label, str) else float(self.label)

    def _content(self) -> dict[str, Any]:
        # What is not set is left out, so that a field added to the contract later changes no hash.
        content: dict[str, Any] = {
            name: value
            for name in FIELDS
            if (value := getattr(self, name)) is not None and value != {}
        }
        content["observed_at"] = moment_text(self.observed_at)
        content["source_kind"] = self.source_kind.value
        return content


def moment_text(moment: datetime) -> str:
    """Return ``moment`` in UTC as ISO 8601 text of one length, whose order is that of time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def read_mapping(mapping: Mapping[str, str] | None) -> dict[str, str]:
    """Return ``mapping`` (ours to theirs) checked.

    :raises FeedbackError: it names a field that the contract does not have.
    """
    found = dict(mapping or {})
    for ours, theirs in found.items():
        if ours not in FIELDS:
            raise FeedbackError(
                f"The mapping names {ours!r}, which is no field of a feedback record.",
                remedy=f"Write ours=theirs, where ours is one of {', '.join(FIELDS)}.",
            )
        if not isinstance(theirs, str) or not theirs:
            raise FeedbackError(f"The mapping of {ours!r} names no field of the source.")
    return found


def parse(
    raw: Any,
    *,
    mapping: Mapping[str, str] | None = None,
    model_name: str | None = None,
    not_after: datetime | None = None,
) -> FeedbackRecord:
    """Read a record out of ``raw``, a JSON object of the source.

    ``mapping`` says under which name the source keeps a field of ours; ``model_name`` fills in when
    the record names none. A record observed after ``not_after`` is refused: it would stand above
    every later correction.

    :raises FeedbackRecordError: the record does not fit; the message is the reason.
    """
    if not isinstance(raw, Mapping):
        raise FeedbackRecordError(f"a record is a JSON object, this is {_kind(raw)}")
    names = {ours: mapping.get(ours, ours) for ours in FIELDS} if mapping else _OWN_NAMES
    found = {ours: raw.get(theirs) for ours, theirs in names.items()}
    taken = set(names.values())
    rest = {str(name): value for name, value in raw.items() if name not in taken}
    try:
        record = FeedbackRecord(
            feedback_id=_id(found, "feedback_id", required=True),
            model_name=_id(found, "model_name", required=model_name is None) or str(model_name),
            observed_at=_moment(found["observed_at"], not_after),
            label=_label(found["label"]),
            value=_number("value", found["value"]),
            score=_score(found["score"]),
            prediction_id=_id(found, "prediction_id"),
            model_version=_id(found, "model_version"),
            partition=_id(found, "partition"),
            source=_id(found, "source"),
            source_kind=_source_kind(found["source_kind"]),
            comment=_comment(found["comment"]),
            attributes=_attributes(found["attributes"], rest),
        )
        if record.label is None and record.value is None and record.score is None:
            raise FeedbackRecordError("one of label, value and score must be there")
        _ = record.content_hash  # fails here, not later, on what cannot be written down
    except RecursionError:
        raise FeedbackRecordError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise FeedbackRecordError("a text holds half a surrogate pair: no valid Unicode") from None
    except rfc8785.CanonicalizationError as error:
        raise FeedbackRecordError(f"it cannot be written as canonical JSON: {error}") from None
    return record


def _id(found: Mapping[str, Any], name: str, *, required: bool = False) -> Any:
    value = found[name]
    if value is None:
        if required:
            raise FeedbackRecordError(f"{name} is missing")
        return None
    if isinstance(value, bool) or not (isinstance(value, (str, int)) or _is_uuid(value)):
        raise FeedbackRecordError(f"{name} must be a text, this is {_kind(value)}")
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise FeedbackRecordError(f"{name} is a number that JSON cannot hold exactly: use a text")
    text = str(value)
    if not text.strip():
        raise FeedbackRecordError(f"{name} is empty")
    if len(text) > MAX_ID:
        raise FeedbackRecordError(f"{name} has {len(text)} characters, {MAX_ID} may be")
    if not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
        raise FeedbackRecordError(f"{name} holds control characters")
    return text


def _moment(value: Any, not_after: datetime | None) -> datetime:
    if value is None:
        raise FeedbackRecordError("observed_at is missing")
    try:
        moment = value if isinstance(value, datetime) else _parse_moment(value)
        if moment.tzinfo is None:
            raise FeedbackRecordError("observed_at has no time zone")
        moment = moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise FeedbackRecordError(f"observed_at is no moment: {error}") from None
    if not_after is not None and moment > not_after:
        raise FeedbackRecordError(f"observed_at lies in the future: {moment.isoformat()}")
    return moment


def _parse_moment(value: Any) -> datetime:
    # One pattern instead of datetime.fromisoformat, which reads other texts in each Python version.
    if not isinstance(value, str):
        raise FeedbackRecordError(f"observed_at must be an ISO 8601 text, this is {_kind(value)}")
    match = _MOMENT.fullmatch(value.strip()) if len(value) <= 64 else None
    if match is None:
        if len(value) <= 64 and _MOMENT.fullmatch(value.strip() + "Z"):
            raise FeedbackRecordError("observed_at has no time zone")
        raise FeedbackRecordError("observed_at is no ISO 8601 moment with a time zone")
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    zone = timezone.utc
    if not utc:
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
    return datetime(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second or 0),
        int((fraction or "0")[:6].ljust(6, "0")),
        tzinfo=zone,
    )


def _label(value: Any) -> Label | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.strip():
            raise FeedbackRecordError("label is empty")
        if len(value) > MAX_LABEL:
            raise FeedbackRecordError(f"label has {len(value)} characters, {MAX_LABEL} may be")
        return value
    if isinstance(value, int) and abs(value) <= _MAX_INTEGER:
        return value
    return _number("label", value)


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise FeedbackRecordError(f"{name} must be a number, this is {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise FeedbackRecordError(f"{name} is too large a number") from None
    if not math.isfinite(number):
        raise FeedbackRecordError(f"{name} is not a finite number: {number}")
    return number


def _score(value: Any) -> float | None:
    score = _number("score", value)
    if score is not None and not 1 <= score <= 5:
        raise FeedbackRecordError(f"score must lie between 1 and 5, this is {score:g}")
    return score


def _source_kind(value: Any) -> SourceKind:
    if value is None:
        return SourceKind.PERSON
    kind = _KINDS.get(value) if isinstance(value, str) else None
    if kind is None:
        raise FeedbackRecordError(f"source_kind must be one of {', '.join(_KINDS)}")
    return kind


def _comment(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise FeedbackRecordError(f"comment must be a text, this is {_kind(value)}")
    if "\x00" in value:
        raise FeedbackRecordError("comment holds a NUL character, which no database text can")
    return value or None


def _attributes(own: Any, rest: dict[str, Any]) -> dict[str, Any]:
    if own is not None and not isinstance(own, Mapping):
        raise FeedbackRecordError(f"attributes must be a JSON object, this is {_kind(own)}")
    # null is absent: a table's empty cell and a missing JSON field are the same content
    attributes = {name: value for name, value in rest.items() if value is not None}
    for key, value in (own or {}).items():
        name = str(key)
        if value is None:
            continue
        if name in attributes and attributes[name] != value:
            raise FeedbackRecordError(f"{name!r} stands in attributes and beside it, and differs")
        attributes[name] = value
    return attributes


def _canonical(content: Mapping[str, Any]) -> bytes:
    """Canonical JSON: in C for what most records are, by the book where its rules would bite."""
    simple = _simple(content)
    return canonical(content) if simple is None else _encode(simple).encode()


def _simple(values: Mapping[str, Any], *, depth: int = 1) -> dict[str, Any] | None:
    # RFC 8785 writes whole floats as integers, others as Python does between 1e-4 and 1e16, and
    # orders keys by UTF-16, which for ASCII is any order.
    simple: dict[str, Any] = {}
    for name, value in values.items():
        kind = type(value)
        if kind is float:
            if value.is_integer() and abs(value) <= _MAX_INTEGER:
                simple[name] = int(value)
                continue
            if not 1e-4 <= abs(value) < 1e16:
                return None
        elif kind is int:
            if abs(value) > _MAX_INTEGER:
                return None
        elif kind is dict and depth:
            inner = _simple(value, depth=depth - 1)
            if inner is None or not name.isascii():
                return None
            simple[name] = inner
            continue
        elif kind is not str and kind is not bool:
            return None
        if not name.isascii():
            return None
        simple[name] = value
    return simple


def _is_uuid(value: Any) -> bool:
    return type(value).__name__ == "UUID"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")
