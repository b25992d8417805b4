"""What is kept of a comment, which may hold personal data: all, a hash, or nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from airflow_ai_provider.core.feedback.record import FeedbackRecord

_HASHED = re.compile(r"sha256:[0-9a-f]{64}")
_NOT_KEPT = "(not kept: comments are not, and where one stands here cannot be told)"


class Comments(str, Enum):
    """The setting ``feedback_comments``."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


def treat(record: FeedbackRecord, comments: Comments) -> FeedbackRecord:
    """Return ``record`` as it may be kept.

    Its identity is that of what is kept: after a change of the setting the same source is read as
    revisions.
    """
    if comments is Comments.KEEP or record.comment is None:
        return record
    return replace(record, comment=kept(record.comment, comments))


def kept(comment: str, comments: Comments) -> str | None:
    """Return what may be kept of a comment; a hash is not hashed again, wherever it comes from."""
    if comments is Comments.KEEP:
        return comment
    if comments is Comments.DROP:
        return None
    if _HASHED.fullmatch(comment):
        return comment
    return "sha256:" + hashlib.sha256(comment.encode("utf-8", "surrogatepass")).hexdigest()


def treat_raw(raw: str, comments: Comments, field: str) -> str:
    """Return a refused record as the quarantine may keep it; ``field`` is the comment's name there.

    A raw text that is no JSON object is not kept at all unless comments are.
    """
    if comments is Comments.KEEP:
        return raw
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return _NOT_KEPT
    if not isinstance(document, Mapping):
        return _NOT_KEPT
    if document.get(field) is None:
        return raw
    found = document[field]
    text = found if isinstance(found, str) else json.dumps(found)
    return json.dumps({**document, field: kept(text, comments)})
