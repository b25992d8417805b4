"""The JSON Schema of a feedback record, for whoever writes records.

The version grows when a record that fitted no longer does, or a field means something else; the
file ``feedback-record-1.json`` beside this module is what is published, and a test holds the two
and the parser together. A schema cannot say everything: that ``observed_at`` is a real moment, and
not one of the future, is left to the parser.
"""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL
from airflow_ai_provider.core.feedback.record import MAX_INTEGER, SourceKind

VERSION = 1
FILE = f"feedback-record-{VERSION}.json"
_PRINTS = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_SPEAKS = r"[^\s\u001c-\u001f\u0085]"  # more than what Python takes to be white space
_MOMENT = (
    r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?"
    r" ?([Zz]|[+-][0-9]{2}:?([0-9]{2})?)\s*$"
)


def record_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12)."""
    number = {"type": ["number", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:airflow-ai:feedback-record:{VERSION}",
        "title": "FeedbackRecord",
        "description": "One piece of feedback on a prediction. Fields that are not named here are "
        "kept as attributes. The same feedback_id with the same content is one record; with other "
        "content it is a revision, of which the newest by observed_at is effective.",
        "type": "object",
        "required": ["feedback_id", "model_name", "observed_at"],
        "properties": {
            "feedback_id": _id("Names the record in its source, for all time."),
            "model_name": _id("The registered model that predicted."),
            "observed_at": {
                "description": "When it was said or seen: ISO 8601, with its time zone.",
                "type": "string",
                "maxLength": 64,
                "pattern": _MOMENT,
            },
            "label": {
                "description": "What was right: a class, a truth value or a number.",
                "anyOf": [
                    {"type": ["number", "boolean", "null"]},
                    {"type": "string", "maxLength": MAX_LABEL, "pattern": _SPEAKS},
                ],
            },
            "value": {"description": "A quantity that was measured.", **number},
            "score": {"description": "An opinion.", **number, "minimum": 1, "maximum": 5},
            "prediction_id": _id("The prediction that it is about.", optional=True),
            "model_version": _id("The version that predicted.", optional=True),
            "partition": _id("The part of the data, such as 2013-04.", optional=True),
            "source": _id("Where it comes from, or who says it.", optional=True),
            "source_kind": {
                "description": "Who says it: a person (unless said), a system, or what happened.",
                "enum": [*(kind.value for kind in SourceKind), None],
            },
            "comment": {
                "description": "What a person wrote; the receiver may hash or drop it.",
                "type": ["string", "null"],
                "pattern": r"^[^\u0000]*$",
            },
            "attributes": {"description": "Anything else.", "type": ["object", "null"]},
        },
        "anyOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in ("label", "value", "score")
        ],
    }


def _id(description: str, *, optional: bool = False) -> dict[str, Any]:
    return {
        "description": description,
        "anyOf": [
            {
                "type": "string",
                "maxLength": MAX_ID,
                "allOf": [{"pattern": _PRINTS}, {"pattern": _SPEAKS}],
            },
            {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
            *([{"type": "null"}] if optional else []),
        ],
    }
