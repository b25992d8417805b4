"""What is said of predictions, as lines of text: from one database into another.

A million rows as Python's values cost more than the two databases need for them. No field holds a
control character (``parse`` refuses them in names, JSON escapes them), so a line needs no quotes.
"""

from __future__ import annotations

BETWEEN = "\x1f"
SAID = {  # the fields of a line, in DuckDB's types; a field with nothing in it is null
    "prediction_id": "VARCHAR",
    "feedback_id": "VARCHAR",
    "label": "VARCHAR",  # JSON, which says its number too: to write numbers takes longest
    "value": "DOUBLE",
    "score": "DOUBLE",
    "source_kind": "VARCHAR",
    "observed_at": "TIMESTAMPTZ",
    "sequence": "BIGINT",
}
OUTCOME = {
    name: SAID[name]
    for name in ("prediction_id", "label", "source_kind", "observed_at", "sequence")
}
NUMBER = (  # of a label, for DuckDB; none of one that is a name
    "CASE label WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE TRY_CAST(label AS DOUBLE) END"
)
