"""What ``FeedbackIngestOperator`` and the command take in besides a file that is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider import cli
from airflow_ai_provider.core.errors import FeedbackSourceLostError
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.operators.feedback import FeedbackIngestOperator
from airflow_ai_provider.store.engine import Store

MOMENT = "2013-06-10T00:00:00Z"
COUNTS = ("read", "stored", "revised", "duplicates", "quarantined")


def told(number: int, **changes: Any) -> dict[str, Any]:
    return {"feedback_id": f"f{number}", "observed_at": MOMENT, "score": 4, **changes}


def lines(*numbers: int) -> bytes:
    return "".join(json.dumps(told(number)) + "\n" for number in numbers).encode()


@pytest.fixture
def url(here: Store) -> str:
    return here.full_url


def ingest(**arguments: Any) -> list[int]:
    operator = FeedbackIngestOperator(task_id="ingest", model_name="{{ m }}", **arguments)
    operator.model_name = "m"  # as rendered
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="ingest", map_index=-1, try_number=1)
    found = operator.execute({"ti": ti, "outlet_events": {}})  # type: ignore[arg-type]
    return [found[name] for name in COUNTS]


# --- object storage


class Bucket(MemoryFileSystem):
    """An object store that says which version a file has."""

    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]
    async_impl = True
    meddled = ""  # what somebody replaces as soon as it was read

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found = super().info(path, **kwargs)
        if found["type"] == "file":
            found["ETag"] = f'"{hash(self.cat_file(path))}"'
        return found

    def invalidate_cache(self, path: str | None = None) -> None:
        if self.meddled and len(self.asked) == 1:
            self.pipe_file(self.meddled, lines(8))
        self.asked.append(path)

    asked: list[str | None] = []


@pytest.fixture
def bucket(url: str) -> Iterator[Bucket]:
    del url
    files = Bucket()
    attach(protocol="memory", conn_id="feedback", fs=files)
    files.pipe("/box/in/a.jsonl", lines(1, 2))
    files.pipe("/box/in/deep/b.jsonl", lines(3))
    files.pipe("/box/in/_c.jsonl", lines(4))
    yield files
    files.store.clear()
    Bucket.meddled, Bucket.asked, Bucket.async_impl = "", [], True


HOME = "memory://feedback@box"


def test_a_folder_of_a_bucket_is_read_once(bucket: Bucket) -> None:
    assert ingest(paths=f"{HOME}/in") == [3, 3, 0, 0, 0]
    assert ingest(paths=[f"{HOME}/in/*.jsonl", f"{HOME}/in"]) == [0] * 5
    bucket.pipe("/box/in/d.jsonl", lines(3, 5))
    assert ingest(paths=f"{HOME}/in/*.jsonl") == [2, 1, 0, 1, 0]
    assert ingest(paths=f"{HOME}/in/a.jsonl") == [2, 0, 0, 2, 0]


def test_an_object_that_was_replaced_is_named(bucket: Bucket) -> None:
    ingest(paths=f"{HOME}/in")
    bucket.pipe("/box/in/a.jsonl", lines(1))
    with pytest.raises(AirflowFailException, match=r"a\.jsonl shrank"):
        ingest(paths=f"{HOME}/in")
    bucket.pipe("/box/in/a.jsonl", lines(1, 2, 6))
    assert ingest(paths=f"{HOME}/in") == [3, 1, 0, 2, 0]


def test_an_object_that_is_replaced_while_it_is_read_leaves_no_batch(bucket: Bucket) -> None:
    Bucket.meddled = "/box/in/a.jsonl"
    with pytest.raises(FeedbackSourceLostError, match=r"a\.jsonl changed while it was read"):
        ingest(paths=f"{HOME}/in/a.jsonl")
    assert FeedbackHook().get_conn().status()["batches"] == 0


def test_on_a_storage_that_shows_half_a_file_new_ones_wait(bucket: Bucket) -> None:
    Bucket.async_impl = False
    assert ingest(paths=f"{HOME}/in") == [0] * 5


# --- other sources


def test_a_table_is_read_behind_its_connection(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del url
    database = tmp_path / "crm.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE reviews (id TEXT, stars REAL, at TEXT, n INTEGER)")
        connection.execute(
            "INSERT INTO reviews VALUES ('r1', 4, ?, 1), ('r2', 5, ?, 2)", [MOMENT] * 2
        )
    crm = {"conn_type": "sqlite", "host": str(database)}
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(crm))
    source = {"kind": "sql", "conn_id": "crm", "table": "reviews", "watermark": "n"}
    mapping = {"feedback_id": "id", "score": "stars", "observed_at": "at"}
    assert ingest(source=source, mapping=mapping) == [2, 2, 0, 0, 0]
    assert ingest(source=[source], mapping=mapping) == [1, 0, 0, 1, 0]


class Mine:
    name = "mine://"

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        del position
        yield SourceRecord("1", {}, told(1))

    def position(self) -> None:
        return None


def test_a_source_of_the_users_own_is_read_beside_files(url: str, tmp_path: Path) -> None:
    del url
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(1, 2))
    assert ingest(source=Mine, paths=str(file)) == [3, 2, 0, 1, 0]
    assert ingest(source=Mine()) == [1, 0, 0, 1, 0]


def test_an_export_of_label_studio_is_read(url: str, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    rating = {"type": "rating", "from_name": "q", "to_name": "t", "value": {"rating": 3}}
    annotation = {"id": 2, "result": [rating], "updated_at": MOMENT, "completed_by": 1}
    whole = {"id": 1, "project": 7, "data": {"model_name": "m"}, "annotations": [annotation]}
    file.write_text(json.dumps([whole]))
    assert ingest(source={"kind": "label_studio", "path": str(file)}) == [1, 1, 0, 0, 0]
    command = ["feedback", "ingest", str(file), "--format", "label-studio", "--store", url]
    assert cli.main(command) == 0
    assert FeedbackHook().get_conn().status()["duplicates"] == 1


def test_label_studio_and_mlflow_are_found_by_their_connections(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_ai_provider.hooks._feedback_sources import open_source

    del url
    studio = {"conn_type": "http", "host": "studio", "port": 8080, "password": "t"}
    monkeypatch.setenv("AIRFLOW_CONN_LS", json.dumps(studio))
    found = open_source({"kind": "label_studio", "conn_id": "ls", "project": "7"})
    assert found.name == "http://studio:8080/projects/7"
    mlflow = {"conn_type": "mlflow", "host": "http://user:pw@registry:5000"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(mlflow))
    found = open_source({"kind": "mlflow", "experiment": "chat"})
    assert found.name.endswith("registry:5000#experiment/chat")
    assert "pw" not in found.name


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "none"},
        {"kind": "sql", "conn_id": "crm"},
        {"kind": "sql", "conn_id": "crm", "table": "a", "sql": "SELECT 1"},
        {"kind": "sql", "conn_id": "crm", "tabel": "a"},
        {"kind": "label_studio"},
        {"kind": "mlflow"},
        7,
    ],
)
def test_what_is_no_source_is_an_error(url: str, source: Any) -> None:
    del url
    with pytest.raises(AirflowFailException, match="no source of feedback"):
        ingest(source=source)


def test_the_settings_come_from_airflow(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__FEEDBACK_COMMENTS", "drop")
    assert FeedbackHook().settings().feedback_comments.value == "drop"
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__FEEDBACK_COMMENTS", "burn")
    assert cli.main(["feedback", "status", "--store", url]) == 2


# --- the commands


def run(capsys: pytest.CaptureFixture[str], url: str, *arguments: str) -> tuple[int, Any]:
    status = cli.main(["feedback", *arguments, "--json", "--store", url])
    return status, json.loads(capsys.readouterr().out)


def test_the_commands_repair_export_and_forget(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text(json.dumps(told(1, stars=5, source="anna")) + "\n{broken\n")
    assert run(capsys, url, "ingest", f"{tmp_path}/*.jsonl")[1]["quarantined"] == 2
    assert run(capsys, url, "ingest", f"{tmp_path}/*.jsonl")[1]["read"] == 0
    status, found = run(capsys, url, "quarantine", "retry", "--model", "m")
    assert (status, found["stored"], found["quarantined"]) == (1, 1, 1)
    _, [waits] = run(capsys, url, "quarantine", "list")
    assert (waits["place"], waits["raw"]) == ("line 2", "{broken")
    assert run(capsys, url, "quarantine", "discard", str(waits["id"])) == (0, {"discarded": 1})
    assert run(capsys, url, "quarantine", "retry", "77")[0] == 2
    assert run(capsys, url, "export", str(out)) == (0, {"path": str(out), "records": 1})
    status, removed = run(capsys, url, "forget", "--person", "anna")
    assert (status, removed["records"], removed["exports"][0]["path"]) == (0, 1, str(out))
    assert run(capsys, url, "forget")[0] == 2
    assert run(capsys, url, "schema")[1]["title"] == "FeedbackRecord"
    for command in (["quarantine", "list"], ["schema"], ["forget", "--id", "f1"]):
        assert cli.main(["feedback", *command, "--store", url]) == 0
    assert "Nothing waits" in capsys.readouterr().out


def test_the_command_reads_object_storage(
    bucket: Bucket, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del bucket
    found = run(capsys, url, "ingest", f"{HOME}/in", "--model", "m")
    assert (found[0], found[1]["stored"]) == (0, 3)
