"""Two rules that the hall agreed to, as SQL over a delivery: scores from 0 to 1.

A rule's version is the digest of its text: a changed rule is another version.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

RULES = {
    "oversize_parcels": """
        least(1.0, greatest(length_cm / 120.0, (length_cm + 2 * (width_cm + height_cm)) / 300.0,
                            weight_kg / 31.5) ** 4)
    """,
    "unclear_addresses": """
        CASE WHEN regexp_matches(coalesce(street, ''), '[0-9]') THEN 0.1 ELSE 0.9 END
    """,
}


def version_of(rule: str) -> str:
    """Return the version of a rule: the beginning of its text's SHA-256."""
    return hashlib.sha256(RULES[rule].encode()).hexdigest()[:12]


def score(delivery: str, folder: str | Path) -> dict[str, Any]:
    """Score a delivery by every rule; write one Parquet file, and say where and of which versions.

    Its rows are prediction_id, parcel_id, rule, version and score.
    """
    import duckdb

    versions = {rule: version_of(rule) for rule in RULES}
    parts = " UNION ALL ".join(
        f"SELECT parcel_id || ':{rule}:{versions[rule]}' AS prediction_id, parcel_id, "
        f"'{rule}' AS rule, '{versions[rule]}' AS version, {text} AS score FROM parcels"
        for rule, text in RULES.items()
    )
    target = Path(folder) / f"{Path(delivery).stem}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with duckdb.connect() as connection:
        connection.read_csv(delivery).create_view("parcels")
        connection.sql(f"{parts} ORDER BY prediction_id").write_parquet(str(beside))
    beside.replace(target)
    return {"scores": str(target), "versions": versions, "delivery": Path(delivery).stem}
