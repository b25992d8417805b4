"""What is out of somebody's sight is nowhere: pages, API values, script, reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.services import project_view
from airflow_ai_provider.services.feedback_status import feedback_status
from airflow_ai_provider.services.project_report import write_report
from airflow_ai_provider.services.project_shown import shown
from airflow_ai_provider.services.seeing import sight_for_readers, sight_of
from airflow_ai_provider.services.views.exceptions import exceptions_view
from airflow_ai_provider.services.views.feedback import feedback_view, model_feedback_view
from airflow_ai_provider.services.views.gpu import gpu_view
from airflow_ai_provider.services.views.ledger import exported, ledger_view, record_view
from airflow_ai_provider.services.views.models import model_view, models_view
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from tests.hidden_life import (
    DATA,
    FEW,
    MODEL,
    OPEN_PROJECT,
    OPERATOR,
    PROJECT,
    SPONSOR,
    STRANGER,
    WORDS,
    fill_hidden,
)
from tests.services.project_scene import decide

TODAY = date(2026, 6, 1)
View = Callable[[Store, Sight], Any]
# what each shows of the hidden ones to who sees everything
VIEWS: dict[str, tuple[View, set[str]]] = {
    "board": (
        lambda s, x: project_view.board(s, today=TODAY, sight=x),
        {PROJECT, MODEL, FEW},
    ),
    "project": (lambda s, x: project_view.project(s, OPEN_PROJECT, today=TODAY, sight=x), {FEW}),
    "shown": (lambda s, x: shown(s, OPEN_PROJECT, sight=x), {FEW}),
    "gpus": (lambda s, x: gpu_view(s, sight=x), {PROJECT}),
    "models": (lambda s, x: models_view(s, sight=x), {MODEL, FEW}),
    "feedback": (lambda s, x: feedback_view(s, sight=x), {MODEL, FEW}),
    "status": (lambda s, x: feedback_status(s, sight=x), {MODEL, FEW}),
    "ledger": (lambda s, x: ledger_view(s, sight=x), {PROJECT, MODEL, FEW, DATA}),
    "export": (lambda s, x: list(exported(s, sight=x)), {PROJECT, MODEL, FEW, DATA}),
    "exceptions": (
        lambda s, x: exceptions_view(
            s, person="eve", may_see=lambda _: True, may_answer=lambda _: True, sight=x
        ),
        {MODEL},
    ),
}


def words_in(value: Any) -> set[str]:
    text = json.dumps(plain(value), default=str)
    return {word for word in WORDS if word in text}


def test_no_view_holds_what_is_hidden(store: Store) -> None:
    fill_hidden(store)

    def told(sight: Sight) -> dict[str, set[str]]:
        return {name: words_in(view(store, sight)) for name, (view, _) in VIEWS.items()}

    everything = {name: words for name, (_, words) in VIEWS.items()}
    assert told(EVERYTHING) == everything
    assert told(sight_of(store, OPERATOR)) == everything
    assert told(sight_of(store, STRANGER)) == {name: set() for name in VIEWS}
    assert told(sight_of(store, SPONSOR)) == {n: words - {FEW} for n, words in everything.items()}


def test_what_is_open_is_still_shown(store: Store) -> None:
    fill_hidden(store)
    sight = sight_of(store, STRANGER)
    found = project_view.project(store, OPEN_PROJECT, today=TODAY, sight=sight)
    assert [model["name"] for model in found["models"]] == ["open_model"]
    kpis = [kpi["name"] for kpi in found["kpis"]]
    assert ("speed" in kpis, "score" in kpis) == (True, False)
    assert [risk["name"] for risk in found["risks"]] == ["slow"]
    [gate] = [gate for gate in found["gates"] if gate["kind"] == "phase"]
    assert [criterion["name"] for criterion in gate["criteria"]] == ["open_model"]
    assert gate["verdict"] == "fail"
    assert [m["name"] for m in models_view(store, sight=sight)["models"]] == ["open_model"]
    gpus = gpu_view(store, sight=sight)
    assert gpus["totals"]["held"] == 1
    assert gpus["hosts"][0]["devices"][0]["holders"][0]["task"] == "another project"
    assert [waits["task"] for waits in gpus["queue"]] == ["another project"]
    subjects = {record["subject"] for record in ledger_view(store, sight=sight)["records"]}
    assert subjects == {f"project://{OPEN_PROJECT}/pilot", "mlflow://open_model/1"}


def test_what_is_hidden_is_as_if_it_were_not_there(store: Store) -> None:
    ids = fill_hidden(store)
    sight = sight_of(store, STRANGER)
    said = []
    for name in (PROJECT, "nobody"):
        with pytest.raises(LifecycleError) as refused:
            project_view.project(store, name, today=TODAY, sight=sight)
        with pytest.raises(LifecycleError) as unknown:
            shown(store, name, sight=sight)
        said.append(
            [(e.value.message.replace(name, "it"), e.value.remedy) for e in (refused, unknown)]
        )
    assert said[0] == said[1]
    for found in (
        model_view(store, MODEL, sight=sight),
        model_feedback_view(store, MODEL, sight=sight),
        record_view(store, ids["gate"], sight=sight),
        record_view(store, ids["data"], sight=sight),
    ):
        assert found is None
    for seen in (model_view(store, MODEL), record_view(store, ids["data"], sight=EVERYTHING)):
        assert seen is not None


def test_a_model_that_a_later_plan_forgets_stays_hidden(store: Store) -> None:
    fill_hidden(store)
    for name, digest in ((PROJECT, "1" * 64), (OPEN_PROJECT, "2" * 64)):
        row = Projects(store).get(name)
        assert row is not None
        uses = [{**row.plan["use_cases"][0], "name": f"{name}_next", "visible_to": None}]
        Projects(store).note(
            name=name, title=row.title, owner=row.owner, path=row.path, digest=digest,
            plan={**row.plan, "use_cases": uses, "data_sources": []}, text="",
        )  # fmt: skip
    sight = sight_of(store, STRANGER)
    assert sight.models == {MODEL, FEW, f"{PROJECT}_next"}
    assert sight.data == {DATA}
    assert sight_of(store, OPERATOR) == EVERYTHING


def test_the_ledger_is_paged_over_what_is_seen(store: Store) -> None:
    """Hidden records take no place of a page: the page after them is not there."""
    fill_hidden(store)
    found = ledger_view(store, sight=sight_of(store, STRANGER))
    assert found["page"]["more"] is False
    assert len(found["records"]) == 3


def test_only_what_is_meant_is_left_out_of_a_search(store: Store) -> None:
    subjects = ["mlflow://m/1", "mlflow://m@test", "mlflow://m", "mlflow://M/1", "mlflow://m2/1",
                "mlflow://m%/1", "project://m/pilot"]  # fmt: skip
    for subject in subjects:
        decide(store, subject)
    found = Ledger(store).search(but_below=["mlflow://m", "mlflow://_2", "project://x"])
    assert [record.subject for record in found] == subjects[3:]
    many = [f"mlflow://model{number}" for number in range(3000)]
    assert len(Ledger(store).search(but_below=many)) == len(subjects)


def test_a_report_holds_what_all_its_readers_may_see(store: Store, tmp_path: Path) -> None:
    fill_hidden(store)

    def told(name: str, readers: list[str] | None) -> set[str]:
        sight = sight_for_readers(store, name, readers)
        found = project_view.project(store, name, today=TODAY, sight=sight)
        written = write_report(found, html=tmp_path / "r.html", markdown=tmp_path / "r.md")
        assert written.html is not None
        return words_in(written.html.read_text() + written.text)

    assert told(OPEN_PROJECT, ["role:Op"]) == {FEW}
    assert told(OPEN_PROJECT, None) == set()
    assert told(OPEN_PROJECT, ["role:Op", "sponsor"]) == set()
    assert told(PROJECT, None) == {PROJECT, MODEL, DATA}
    assert told(PROJECT, ["sponsor"]) == {PROJECT, MODEL, DATA}
    for readers in (["user:eve"], ["sponsor", "user:eve"], ["operations"], []):
        with pytest.raises(LifecycleError, match="knows no project"):
            told(PROJECT, readers)


def test_what_is_exported_is_of_models_that_are_seen(
    capsys: pytest.CaptureFixture[str], url: str, tmp_path: Path
) -> None:
    records = [
        {"feedback_id": model, "model_name": model, "observed_at": "2026-01-01T00:00:00Z",
         "score": 4}
        for model in (MODEL, "open_model")
    ]  # fmt: skip
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["feedback", "ingest", str(source), "--store", url]) == 0
    for who, models in (("eve", ["open_model"]), ("/Op", [MODEL, "open_model"])):
        command = ["feedback", "export", str(target), "--store", url, "--as", who]
        assert main(command) == 0
        lines = target.read_text().splitlines()
        assert sorted(json.loads(line)["model_name"] for line in lines) == sorted(models)
    assert "2 records" in capsys.readouterr().out


COMMANDS: dict[str, tuple[list[str], set[str]]] = {
    "project": (["project", "show", PROJECT], {PROJECT, MODEL}),
    "history": (["promotion", "history", MODEL], {MODEL}),
    "metrics": (["feedback", "metrics", MODEL], {MODEL}),
    "status": (["feedback", "status"], {MODEL, FEW}),
    "gpus": (["gpu", "status"], {PROJECT}),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    store = Store.open(address)
    fill_hidden(store)
    store.close()
    return address


@pytest.mark.parametrize("name", COMMANDS)
def test_the_script_shows_what_whoever_asks_may_see(
    capsys: pytest.CaptureFixture[str], url: str, name: str
) -> None:
    command, hidden = COMMANDS[name]

    def told(*more: str) -> tuple[int, set[str]]:
        status = main([*command, "--store", url, *more])
        output = capsys.readouterr()
        absent = {MODEL: "", PROJECT: ""} if not set(command).isdisjoint(WORDS) else {}
        text = output.out + output.err
        for word in absent:  # the answer may name what was asked for
            text = text.replace(f"no project {word}", "").replace(f"{word} was in no", "")
        return status, {word for word in WORDS if word in text}

    for stranger in ((), ("--as", "eve/Viewer,sponsor"), ("--as", "/viewer")):
        status, words = told("--json", *stranger)
        assert words == set()
        assert status == (2 if name == "project" else 0)
    for named in ("--as", "somebody/Viewer, Op"), ("--as", "/op"):
        status, words = told("--json", *named)
        assert (status, words) == (0, hidden)
