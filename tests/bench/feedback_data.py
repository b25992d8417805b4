"""Feedback as JSON Lines, as a fleet of flights would give it: ids in no order, some comments."""

from __future__ import annotations

from pathlib import Path

FIELDS = (
    "feedback_id",
    "prediction_id",
    "model_name",
    "model_version",
    "observed_at",
    "label",
    "value",
    "source",
    "source_kind",
    "partition",
    "comment",
)
_RECORDS = """
SELECT md5(i::VARCHAR) AS feedback_id,
       'p' || lpad(i::VARCHAR, 8, '0') AS prediction_id,
       'flight_delays' AS model_name,
       (1 + i % 3)::VARCHAR AS model_version,
       strftime(TIMESTAMP '2013-01-01' + INTERVAL (i % 7776000) SECOND, '%Y-%m-%dT%H:%M:%SZ')
           AS observed_at,
       (i * 7919 % 11 < 3)::INTEGER AS label,
       (i * 7919 % 1801 - 60) / 4.0 AS value,
       'bts' AS source,
       'outcome' AS source_kind,
       strftime(TIMESTAMP '2013-01-01' + INTERVAL (i % 7776000) SECOND, '%Y-%m') AS "partition",
       CASE WHEN i % 5 = 0
           THEN 'diverted to ' || chr((65 + i % 26)::INTEGER) || ', "late" aircraft' END AS comment
FROM range({rows}) AS numbers (i)
"""


def write_feedback(path: Path, rows: int) -> Path:
    """Write ``rows`` records, about 280 bytes each, with the keys of ``FIELDS``."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"COPY ({_RECORDS.format(rows=rows)}) TO '{path}' (FORMAT json)")
    return path
