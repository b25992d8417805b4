"""The feedback contract: one record, read from any source, or refused with a reason.

A record says what became of a prediction (``outcome``), or what a person or a system thinks of it.
Its identity is ``feedback_id`` with the hash of its content, so that the same record read twice is
known for what it is, and a changed one for a revision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import cached_property
from typing import Any

import rfc8785

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
MAX_INTEGER = 2**53 - 1  # that a JSON number holds exactly
SAID_BY = ("reviewer", "annotator", "person")  # attributes that name who says it, the first there
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


class SourceKind(str, Enum):
    """Who says it: a person, another system, or reality itself."""

    PERSON = "person"
    SYSTEM = "system"
    OUTCOME = "outcome"


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
        if self.label is None or isinstance(self.label, str):
            return None if self.label is None else _encode(self.label)
        return rfc8785.dumps(self.label).decode()  # a number whatever its size

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
            if value.is_integer() and abs(value) <= MAX_INTEGER:
                simple[name] = int(value)
                continue
            if not 1e-4 <= abs(value) <= MAX_INTEGER:
                return None
        elif kind is int:
            if abs(value) > MAX_INTEGER:
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
