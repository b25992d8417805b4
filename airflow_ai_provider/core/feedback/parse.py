"""Reading a feedback record out of what a source has: it fits the contract, or it says why not.

Nothing that a source can hold may crash this: whatever does not fit is one error with one reason.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import rfc8785

from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError
from airflow_ai_provider.core.feedback.record import (
    FIELDS,
    MAX_INTEGER,
    FeedbackRecord,
    Label,
    SourceKind,
)

MAX_ID = 250
MAX_LABEL = 1000
_OWN_NAMES = {name: name for name in FIELDS}
_OWN = frozenset(FIELDS)
_KINDS = {kind.value: kind for kind in SourceKind}
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r" ?(?:([Zz])|([+-])(\d\d):?(\d\d)?)",
    re.ASCII,
)


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
    taken = frozenset(names.values()) if mapping else _OWN
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
    if type(value) is str and len(value) <= MAX_ID and value.isprintable() and value.strip():
        return value  # what nearly every one is
    if value is None:
        if required:
            raise FeedbackRecordError(f"{name} is missing")
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # one number in JSON; and what pandas makes of a column with gaps
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise FeedbackRecordError(f"{name} must be a text, this is {_kind(value)}")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise FeedbackRecordError(f"{name} is a number that JSON cannot hold exactly: use a text")
    text = str(value)
    if not text.strip():
        raise FeedbackRecordError(f"{name} is empty")
    if len(text) > MAX_ID:
        raise FeedbackRecordError(f"{name} has {len(text)} characters, {MAX_ID} may be")
    if any(unicodedata.category(character) == "Cc" for character in text):
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
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
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
    if isinstance(value, int) and number != value:
        raise FeedbackRecordError(f"{name} is a number that JSON cannot hold exactly")
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
    if isinstance(own, str) and own.lstrip().startswith("{"):  # as tables keep an object
        own = _object(own)
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


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FeedbackRecordError(f"attributes is a text that is no JSON: {error}") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")
