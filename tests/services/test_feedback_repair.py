"""What was refused is repaired, what must go is gone for good, what is written out comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import FeedbackError, FeedbackSourceError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_forget import export, forget
from airflow_ai_provider.services.feedback_quarantine import discard, retry
from airflow_ai_provider.services.feedback_sorting import FORGOTTEN
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import BatchCounts
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import feedback, feedback_batch
from tests.stores import store_in_memory

MOMENT = "2013-06-10T00:00:00Z"


def told(number: int, **changes: Any) -> dict[str, Any]:
    return {"feedback_id": f"f{number}", "model_name": "m", "observed_at": MOMENT, **changes}


def lines(path: Path, *documents: Any) -> Path:
    texts = [d if isinstance(d, str) else json.dumps(d, ensure_ascii=False) for d in documents]
    path.write_text("".join(text.rstrip("\n") + "\n" for text in texts))
    return path


def counts(found: BatchCounts) -> tuple[int, int, int, int, int]:
    return (found.read, found.stored, found.revised, found.duplicates, found.quarantined)


def add_up(service: FeedbackService) -> bool:
    """Whether over all batches each record that was stored is there, and no other."""
    table = feedback_batch.c
    with service.store.read() as connection:
        stored, revised = connection.execute(
            sa.select(sa.func.sum(table.stored), sa.func.sum(table.revised))
        ).one()
        rows = connection.execute(sa.select(sa.func.count()).select_from(feedback)).scalar_one()
    return int(stored + revised) == rows


# --- the quarantine


def test_a_wrong_mapping_is_repaired_by_the_right_one(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    file = lines(tmp_path / "in.jsonl", told(1, stars=4), told(2, stars=5), told(3, stars="?"))
    assert counts(service.ingest(file)) == (3, 0, 0, 0, 3)
    assert counts(retry(service)) == (3, 0, 0, 0, 3)
    assert counts(retry(service, mapping={"score": "stars"})) == (3, 2, 0, 0, 1)
    assert add_up(service)
    assert service.status()["quarantined"] == 1
    # what was repaired does not come back with its file
    assert counts(service.ingest(file)) == (3, 0, 0, 0, 3)
    assert [row["place"] for row in service.records.quarantine()] == ["line 3"]


def test_a_broken_record_is_repaired_in_a_file(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    service.ingest(lines(tmp_path / "in.jsonl", '{"feedback_id": "f1", "sc\n', told(2)))
    broken, empty = service.records.quarantine()
    repaired = lines(tmp_path / "repaired.jsonl", {"id": broken["id"], "record": told(1, score=2)})
    assert counts(retry(service, repaired=repaired)) == (1, 1, 0, 0, 0)
    with pytest.raises(FeedbackError, match="Nothing waits"):
        retry(service, repaired=repaired)
    assert discard(service, [empty["id"], broken["id"]]) == 1
    assert service.records.quarantine() == []
    assert add_up(service)
    with pytest.raises(FeedbackSourceError, match="cannot be read"):
        retry(service, repaired=lines(tmp_path / "bad.jsonl", {"record": 1}))


def test_cells_of_csv_are_read_again_as_cells(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    file = tmp_path / "in.csv"
    file.write_text(f"feedback_id,model_name,observed_at,stars\nf1,m,{MOMENT},4\n")
    assert counts(service.ingest(file)) == (1, 0, 0, 0, 1)
    assert counts(retry(service, mapping={"score": "stars"})) == (1, 1, 0, 0, 0)
    assert counts(service.ingest(file, mapping={"score": "stars"})) == (1, 0, 0, 1, 0)


# --- forgetting


def whole_database(store: Store) -> bytes:
    """Everything that is kept, as bytes; of SQLite the file and its log."""
    if store.path is not None:
        wal = Path(f"{store.path}-wal")
        return store.path.read_bytes() + (wal.read_bytes() if wal.exists() else b"")
    with store.read() as connection:
        names = [table.name for table in feedback.metadata.sorted_tables]
        rows = [connection.execute(sa.text(f'SELECT * FROM "{name}"')).all() for name in names]
    return repr(rows).encode()


def test_a_person_is_forgotten_for_good(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    by_anna = {"score": 1, "comment": "anna-was-here", "attributes": {"person": "Anna Ä"}}
    file = lines(
        tmp_path / "in.jsonl",
        told(1, **by_anna),
        told(1, **{**by_anna, "score": 2}),
        told(2, score=3, source="Anna Ä"),
        told(3, score=3, attributes={"person": "Bert"}),
        told(4, score=9, attributes={"person": "Anna Ä"}, comment="anna-was-here"),
        told(5, score=9, comment="somebody else"),
    )
    assert counts(service.ingest(file)) == (6, 3, 1, 0, 2)
    export(service, tmp_path / "out.jsonl", model_name="m")
    export(service, tmp_path / "other.jsonl", model_name="other")
    ledger = Ledger(store)
    ledger.append(GateDraft(kind=GateKind.RETRAIN, subject="mlflow://m/1", verdict=Verdict.PASS))

    removed = forget(service, persons=["Anna Ä"])
    assert (removed.records, removed.revisions, removed.quarantined) == (2, 3, 1)
    assert [Path(found["path"]).name for found in removed.exports] == ["out.jsonl"]
    assert ledger.verify() == (1, None)
    assert b"anna-was-here" not in whole_database(store)

    assert counts(service.ingest(file)) == (6, 0, 0, 1, 5)
    reasons = [row["reason"] for row in service.records.quarantine()]
    assert reasons.count(FORGOTTEN) == 4
    assert b"anna-was-here" not in whole_database(store)
    assert service.status()["models"] == {"m": 1}


def test_records_are_forgotten_by_their_id(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    file = lines(tmp_path / "in.jsonl", *(told(n, score=3, who="x") for n in range(3)))
    service.ingest(file)
    assert forget(service, ids=["f1", "none"]).records == 1
    assert counts(service.ingest(file)) == (3, 0, 0, 2, 1)
    assert forget(service, persons=["x"], attributes=["who"]).records == 2
    assert counts(service.ingest(file)) == (3, 0, 0, 0, 3)
    with pytest.raises(FeedbackError, match="Nothing says"):
        forget(service, persons=[" "])


def test_a_person_is_forgotten_in_a_delta_table_too(tmp_path: Path) -> None:
    service = FeedbackService(store_in_memory(), delta=str(tmp_path / "delta"))
    anna = {"score": 1, "comment": "anna-was-here", "attributes": {"person": "Anna"}}
    file = lines(tmp_path / "in.jsonl", told(1, **anna), told(2, score=3), told(3, source="Anna"))
    assert counts(service.ingest(file)) == (3, 2, 0, 0, 1)  # the last says nothing
    removed = forget(service, persons=["Anna"])
    assert (removed.records, removed.revisions) == (1, 1)
    assert service.count("m") == 1
    assert counts(service.ingest(file)) == (3, 0, 0, 1, 2)
    with duckdb.connect() as connection:
        files = [str(path) for path in (tmp_path / "delta").rglob("*.parquet")]
        [(text,)] = connection.execute(
            "SELECT coalesce(string_agg(coalesce(comment, '')), '') FROM read_parquet(?)", [files]
        ).fetchall()
    assert "anna" not in text
    assert export(service, tmp_path / "out.jsonl") == 1


def test_who_is_forgotten_while_a_file_is_read_is_not_brought_back(
    store: Store, tmp_path: Path
) -> None:
    service = FeedbackService(store)
    file = lines(tmp_path / "in.jsonl", told(1, score=3, source="Anna"), told(2, score=3))

    class Slow:
        name = "slow"
        reads = 0

        def read(self, position: Any) -> Any:
            from airflow_ai_provider.adapters.feedback_files import read_records

            yield from read_records(str(file))
            self.reads += 1
            if self.reads == 1:
                forget(service, persons=["Anna"])

        def position(self) -> None:
            return None

    source = Slow()
    assert counts(service.ingest_from([source])) == (2, 1, 0, 0, 1)
    assert source.reads == 2


# --- writing out


def test_what_was_written_out_is_the_same_when_taken_in(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    service.ingest(
        lines(
            tmp_path / "in.jsonl",
            told(1, label=True, comment="späte ✈", attributes={"stops": [1, 2]}),
            told(1, label=False, source_kind="outcome", value=0.1),
            told(2, label="late", prediction_id="p", partition="2013-06", score=4.5),
            {**told(3, label=1e300), "model_name": "n"},
        )
    )
    assert export(service, tmp_path / "all.jsonl", revisions=True) == 4
    assert counts(service.ingest(tmp_path / "all.jsonl")) == (4, 0, 0, 4, 0)
    assert export(service, tmp_path / "m.jsonl", model_name="m") == 2
    assert export(service, tmp_path / "now.jsonl") == 3
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(FeedbackError, match="cannot be written"):
        export(service, tmp_path / "no" / "such.jsonl")
