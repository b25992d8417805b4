"""Hostile records go into a Delta table as they go into the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.adapters.feedback_lines import BLOCK
from airflow_ai_provider.services.feedback import FeedbackService
from tests.services.feedback_fuzz import write_lines
from tests.stores import store_in_memory

NAMES = [
    "x" * 250, "ä" * 250, "\U0001f600" * 250, "..", ".", "/", "a/b", "../../up", "a=b", "%2F", "%",
    "model_name=b", "\x01", "a\nb", "a b", "?", "#", "*", ":", "'", '"', "\\", "CON", "null",
    "__HIVE_DEFAULT_PARTITION__",
]  # fmt: skip


def documents(service: FeedbackService) -> list[dict[str, Any]]:
    found = service.records_of().documents(None, revisions=True)
    rows = [{n: row[n] for n in sorted(row) if n not in {"sequence", "batch_id"}} for row in found]
    return sorted(rows, key=lambda row: (row["feedback_id"], row["content_hash"]))


def both(file: Path, folder: Path) -> tuple[FeedbackService, FeedbackService]:
    store = FeedbackService(store_in_memory())
    table = FeedbackService(store_in_memory(), delta=str(folder / "delta"))
    for service in (store, table):
        found = service.ingest(file)
        again = service.ingest(file)
        assert (again.read, again.stored, again.revised) == (found.read, 0, 0)
    return store, table


def test_a_thousand_hostile_lines_are_the_same_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    write_lines(file, 1000, seed=60)
    store, table = both(file, tmp_path)
    there = documents(store)
    assert documents(table) == there
    assert len(there) > 200
    said, told = store.status(), table.status()
    assert [said[n] for n in ("read", "stored", "revised", "quarantined", "models")] == [
        told[n] for n in ("read", "stored", "revised", "quarantined", "models")
    ]


def test_a_model_is_named_in_any_way(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    moments = ["2013-06-10T00:00:00Z", "0001-01-02T00:00:00.000001Z"]
    with file.open("w") as stream:
        for number, name in enumerate(NAMES):
            told = {"feedback_id": f"f{number}", "model_name": name, "score": 3}
            moment = {"observed_at": moments[number % 2]}
            stream.write(json.dumps({**told, **moment}) + "\n")
    store, table = both(file, tmp_path)
    assert store.status()["stored"] > 20
    assert table.status()["models"] == store.status()["models"]
    assert documents(table) == documents(store)


def test_blocks_that_are_plain_and_others_keep_their_order_and_places(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    records = [
        {"feedback_id": f"f{number % 9_000}", "model_name": f"m{number % 2}",
         "score": number % 5 + 1, "observed_at": "2013-06-10T00:00:00Z",
         "comment": 'said "' + "x" * 300 + '"'}
        for number in range(12_000)
    ]  # fmt: skip
    texts = [json.dumps(record) for record in records]
    texts[8_000] = texts[8_000].replace("2013", "2O13")  # in the second block of two
    file.write_text("\n".join(texts))
    assert file.stat().st_size > 1.5 * BLOCK
    store, table = both(file, tmp_path)
    assert documents(table) == documents(store)
    said, told = store.status(), table.status()
    for name in ("read", "stored", "revised", "duplicates", "models"):
        assert said[name] == told[name]
    [refused] = table.records.quarantine()
    assert (refused["place"], refused["reason"]) == (
        "line 8001",
        "observed_at is no ISO 8601 moment with a time zone",
    )
    with DeltaTable(str(tmp_path / "delta")).reading(("feedback_id", "sequence")) as connection:
        rows = connection.execute("SELECT feedback_id FROM feedback ORDER BY sequence").fetchall()
    assert [name for (name,) in rows] == [f"f{n}" for n in range(9_000) if n != 8_000]
