"""A Delta table takes feedback exactly once, from several at a time, and others can read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import polars
import pytest

from airflow_ai_provider.adapters.delta import APP, DeltaTable
from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.services.feedback import FeedbackService
from tests.services.test_feedback_faults import write_lines
from tests.stores import store_in_memory

INGEST = """
import json, sys
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
service = FeedbackService(Store.open(sys.argv[1]), delta=sys.argv[2])
found = service.ingest(sys.argv[3:])
print(json.dumps([found.read, found.stored, found.revised, found.duplicates, found.quarantined]))
"""
FULL = """
import resource, sys
from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import MEMORY_URL, Store
import deltalake, pyarrow
service = FeedbackService(Store.open(MEMORY_URL), delta=sys.argv[1])
service.ingest(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    service.ingest(sys.argv[3])
except FeedbackSinkError as error:
    print(error)
print(service.status()["batches"], service.status()["stored"])
"""


def service(folder: Path) -> FeedbackService:
    return FeedbackService(store_in_memory(), delta=str(folder / "delta"))


def told(number: int, **changes: Any) -> str:
    document = {
        "feedback_id": f"f{number}",
        "model_name": "späte/../m",
        "observed_at": f"2013-04-0{number}T00:00:00.5Z",
        "label": "x",
        "score": 4,
        **changes,
    }
    return json.dumps(document) + "\n"


def test_others_read_the_table_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(told(1) + told(2, label=True) + told(1, score=2))
    feedback = service(tmp_path)
    found = feedback.ingest(file)
    assert (found.stored, found.revised, found.news) == (2, 1, {"späte/../m": 3})
    table = deltalake.DeltaTable(str(tmp_path / "delta"))
    read = table.scan()  # noqa: F841 - DuckDB finds it by its name
    by_duckdb = duckdb.sql("SELECT feedback_id, score, label FROM read ORDER BY sequence")
    expected = [("f1", 4.0, '"x"'), ("f2", 4.0, "true"), ("f1", 2.0, '"x"')]
    assert by_duckdb.fetchall() == expected
    frame = polars.read_delta(str(tmp_path / "delta")).sort("sequence")
    assert frame.select("feedback_id", "score", "label").rows() == expected
    assert frame["observed_at"][0].isoformat() == "2013-04-01T00:00:00.500000+00:00"
    assert set(frame["model_name"]) == {"späte/../m"}
    assert table.protocol().min_reader_version <= 3
    assert table.transaction_version(APP) == 1


def test_the_same_again_makes_no_commit(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(told(1) + "{\n")
    feedback = service(tmp_path)
    feedback.ingest(file, run_key="task")
    again = feedback.ingest(file, run_key="task")
    assert (again.read, again.duplicates, again.quarantined) == (2, 1, 1)
    assert deltalake.DeltaTable(str(tmp_path / "delta")).version() == 0
    assert feedback.news("task") == {"späte/../m": 1}
    status = feedback.status()
    assert (status["stored"], status["batches"], status["quarantined"]) == (1, 2, 1)


def test_records_without_their_batch_are_duplicates_when_read_again(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(told(1) + told(2))
    service(tmp_path).ingest(file, run_key="task")  # its store went away with the process
    feedback = service(tmp_path)
    found = feedback.ingest(file, run_key="task")
    assert (found.read, found.stored, found.duplicates) == (2, 0, 2)
    assert feedback.news("task") == {"späte/../m": 2}


@pytest.mark.slow
def test_four_writers_of_as_many_stores_take_each_record_once(tmp_path: Path) -> None:
    files = [
        write_lines(tmp_path / f"{n}.jsonl", range(1000 * n, 1000 * n + 2000)) for n in range(4)
    ]
    delta = tmp_path / "delta"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", INGEST, f"sqlite:///{tmp_path}/{n}.db", str(delta), str(file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, file in enumerate(files)
    ]
    found = []
    for process in processes:
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        found.append(json.loads(out))
    ids = polars.read_delta(str(delta))["feedback_id"]
    assert len(ids) == len(set(ids)) == sum(counts[1] for counts in found) == 5000 - 5
    assert all(c[0] == 2000 == c[1] + c[2] + c[3] + c[4] and c[4] == 2 for c in found)


def test_a_writer_who_read_an_older_version_is_refused(tmp_path: Path) -> None:
    table = DeltaTable(str(tmp_path / "delta"))
    rows = duckdb.sql("SELECT 'a' AS feedback_id, 'm' AS model_name")
    assert table.append(rows, number=1, meta={}, version=-1)
    assert table.append(rows, number=2, meta={}, version=0)
    assert not table.append(rows, number=2, meta={}, version=0)
    assert deltalake.DeltaTable(table.address).version() == 1


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    small = write_lines(tmp_path / "small.jsonl", range(10))
    large = tmp_path / "large.jsonl"
    large.write_text(
        "".join(told(1, feedback_id=f"{n}", comment=f"{n * 7919}" * 40) for n in range(20_000))
    )
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "delta"), str(small), str(large)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sentence, counts = done.stdout.splitlines()
    assert str(tmp_path / "delta") in sentence
    assert counts == "1 10"


def test_a_place_that_is_no_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "delta").write_text("a file")
    (tmp_path / "in.jsonl").write_text(told(1))
    with pytest.raises(FeedbackSinkError, match="delta cannot be used"):
        service(tmp_path).ingest(tmp_path / "in.jsonl")
