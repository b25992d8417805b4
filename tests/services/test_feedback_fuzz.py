"""Ten thousand malformed and hostile records: none crashes, each is refused or stored whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.gate import canonical
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_sink import BatchCounts
from airflow_ai_provider.store.schema import feedback
from tests.services.feedback_fuzz import document, write_csv, write_lines


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'ai.db'}")
    yield store
    store.close()


def stored(store: Store) -> dict[str, dict[str, Any]]:
    with store.read() as connection:
        rows = connection.execute(sa.select(feedback)).all()
    return {row.feedback_id: dict(row._mapping) for row in rows}


def adds_up(found: BatchCounts, service: FeedbackService) -> dict[str, str]:
    """Check the counts and the quarantine; return the reason by place."""
    assert found.read == found.stored + found.revised + found.duplicates + found.quarantined
    kept = service.records.quarantine()
    assert len(kept) == found.quarantined
    assert all(row["place"] and row["reason"] and row["raw"] for row in kept)
    return {row["place"]: row["reason"] for row in kept}


def is_whole(row: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a stored row says everything that its source said."""
    attributes = json.loads(row["attributes"] or "{}")
    for name, value in told.items():
        if value in (None, "", {}) or name == "observed_at":
            continue
        if name == "attributes":
            same = all(attributes[k] == v for k, v in value.items() if v is not None)
        elif name == "label":
            same = json.loads(row["label"]) == value
        elif name in row:
            same = row[name] == (str(value) if name.endswith(("_id", "name", "version")) else value)
            same = same or str(row[name]) == str(value)
        else:
            same = canonical(attributes[name]) == canonical(value)
        if not same:
            return False
    return True


@pytest.mark.slow
def test_ten_thousand_lines(sqlite: Store, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    lines = write_lines(file, 10_000, seed=6)
    service = FeedbackService(sqlite)
    found = service.ingest(file)
    assert found.read == sum(1 for line in lines if line.strip())
    assert found.stored > 2000
    assert found.quarantined > 3000
    places, rows = adds_up(found, service), stored(sqlite)
    for number, line in enumerate(lines, 1):
        if line.strip() and f"line {number}" not in places:
            told = json.loads(line)
            assert is_whole(rows[str(told["feedback_id"])], told), line[:300]
    assert sum(len(row["comment"] or "") >= 10_000_000 for row in rows.values()) >= 1
    again = service.ingest(file)
    assert (again.stored, again.revised, again.quarantined) == (0, 0, found.quarantined)


def test_a_thousand_lines_on_every_store(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    lines = write_lines(file, 1000, seed=60)
    service = FeedbackService(store)
    found = service.ingest(file)
    assert found.read == sum(1 for line in lines if line.strip())
    adds_up(found, service)
    assert len(stored(store)) == found.stored > 200


@pytest.mark.slow
def test_ten_thousand_rows_of_csv(sqlite: Store, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    cells = write_csv(file, 10_000, seed=7)
    service = FeedbackService(sqlite)
    found = service.ingest(file)
    adds_up(found, service)
    assert found.stored > 2000
    assert found.quarantined > 2000
    rows = stored(sqlite)
    for row in cells:
        kept = rows.pop(row[0], None)
        if kept is not None:
            assert (kept["comment"] or "") == row[-4]
    assert not rows  # nothing is there that nobody wrote
    # what was refused holds the rest: a row that is no row may have taken in the one after it
    refused = "".join(row["raw"] for row in service.records.quarantine())
    attributes = "".join(row["attributes"] for row in stored(sqlite).values())
    found_numbers = set(re.findall(r"#(\d+)#", refused + attributes))
    assert found_numbers == {str(number) for number in range(10_000)}


def test_a_formula_is_stored_as_the_text_that_it_is(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(
        "feedback_id,model_name,observed_at,score,comment\n"
        '=1+1,m,2013-06-10T00:00:00Z,4,"=HYPERLINK(""http://x"")"\n'
    )
    FeedbackService(store).ingest(file)
    assert stored(store)["=1+1"]["comment"] == '=HYPERLINK("http://x")'


@pytest.mark.slow
def test_ten_thousand_rows_of_parquet(sqlite: Store, tmp_path: Path) -> None:
    import random

    generator = random.Random(8)
    names = ["feedback_id", "model_name", "observed_at", "label", "score", "comment", "attributes"]
    documents = [document(generator, number) for number in range(10_000)]
    texts = [tuple(as_text(found.get(name)) for name in names) for found in documents]
    file = tmp_path / "in.parquet"
    with duckdb.connect() as connection:
        columns = ", ".join(f"{name} VARCHAR" for name in names)
        connection.execute(f"CREATE TABLE t (n INTEGER, {columns})")
        made = tmp_path / "made.jsonl"
        with made.open("w") as stream:
            for number, row in enumerate(texts):
                stream.write(json.dumps({"n": number, **dict(zip(names, row, strict=True))}) + "\n")
        connection.execute(
            f"INSERT INTO t SELECT n, {', '.join(names)} FROM read_json('{made}', "
            "maximum_object_size=20000000, format='newline_delimited', columns={n: 'INTEGER', "
            f"{', '.join(f'{name}: {chr(39)}VARCHAR{chr(39)}' for name in names)}}})"
        )
        connection.execute(
            "COPY (SELECT * EXCLUDE (n, label, score), TRY_CAST(score AS DOUBLE) AS score, "
            f"TRY_CAST(label AS DOUBLE) AS label FROM t ORDER BY n) TO '{file}' (FORMAT parquet)"
        )
    service = FeedbackService(sqlite)
    found = service.ingest(file)
    assert found.read == 10_000
    places, rows = adds_up(found, service), stored(sqlite)
    assert found.stored > 2000
    for number, row in enumerate(texts, 1):
        if f"row {number}" not in places:
            assert rows[str(row[0])]["comment"] == (row[5] or None)


def as_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()
