"""The life is followed to its end: a refusal is a result, no other failure and no stall is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Origin, Verdict
from airflow_ai_provider.demo.ending import is_over
from airflow_ai_provider.demo.ledger import Gates
from airflow_ai_provider.demo.life import Life, Limits
from airflow_ai_provider.demo.processes import Interrupts
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

QUICK = Limits(settled=0.2, stalled=0.3, patience=0.0, overall=5.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    store = Store.open(f"sqlite:///{tmp_path / 'airflow_ai.db'}")
    yield Ledger(store)
    store.close()


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    opened = Gates(tmp_path / "airflow_ai.db")
    yield opened
    opened.close()


def record(
    ledger: Ledger,
    kind: GateKind,
    verdict: Verdict,
    *,
    task_id: str = "gate",
    map_index: int = -1,
    **evidence: Any,
) -> None:
    criterion = Criterion(
        name="c", limit=1, observed=2, verdict=verdict, sentence="Two is too many."
    )
    origin = Origin(
        dag_id="pilot", run_id="run", task_id=task_id, map_index=map_index, try_number=1
    )
    ledger.append(
        GateDraft(
            kind=kind,
            subject="mlflow://m/1",
            verdict=verdict,
            criteria=(criterion,),
            evidence=evidence,
            origin=origin,
        )
    )


class FakeRest:
    user = "ml"

    def __init__(self, *rounds: list[dict[str, Any]], failed: list[dict[str, Any]] | None = None):
        self.rounds = list(rounds)
        self.failed = failed or []
        self.triggered: list[str] = []
        self.broken: list[dict[str, Any]] = []

    def dag_ids(self) -> set[str]:
        return {"discovery"}

    def import_errors(self) -> list[dict[str, Any]]:
        return self.broken

    def trigger(self, dag_id: str) -> str:
        self.triggered.append(dag_id)
        return "run"

    def runs(self) -> list[dict[str, Any]]:
        return self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]

    def tasks(self, state: list[str]) -> list[dict[str, Any]]:
        return self.failed if state == ["failed"] else [task("waiting") | {"state": "queued"}]

    def log(self, failed: dict[str, Any]) -> str:
        return f"the log of {failed['task_id']}"


class FakePeople:
    def answer_what_waits(self) -> list[Any]:
        return []


class FakeServers:
    class home:  # noqa: N801
        dags = Path("dags")

    def check(self) -> None:
        pass


def run(dag_id: str, state: str) -> dict[str, Any]:
    return {"dag_id": dag_id, "dag_run_id": "run", "state": state, "run_type": "asset_triggered"}


def task(task_id: str, map_index: int = -1) -> dict[str, Any]:
    return {
        "id": f"{task_id}{map_index}",
        "dag_id": "pilot",
        "dag_run_id": "run",
        "task_id": task_id,
        "map_index": map_index,
        "state": "failed",
    }


def life(rest: FakeRest, gates: Gates, *, lacks: str | None = None) -> tuple[Life, list[str]]:
    said: list[str] = []
    stand_ins: Any = {"rest": rest, "people": FakePeople(), "servers": FakeServers()}
    lived = Life(
        **stand_ins,
        gates=gates,
        interrupts=Interrupts(),
        say=said.append,
        is_over=lambda _gates, _runs: lacks,
        limits=QUICK,
    )
    return lived, said


def test_life_is_begun_once_and_ends_when_its_state_says_so(gates: Gates) -> None:
    ended = [run("discovery", "success")]
    rest = FakeRest([run("discovery", "running")], ended)
    lived, said = life(rest, gates)
    assert lived.run() == ended
    assert rest.triggered == ["discovery"]
    assert "discovery: success (caused by an asset)" in said


def test_refusal_is_a_result(gates: Gates, ledger: Ledger) -> None:
    record(ledger, GateKind.DATA, Verdict.FAIL, map_index=3)
    lived, said = life(FakeRest([run("pilot", "failed")], failed=[task("gate", 3)]), gates)
    lived.run()
    assert "data mlflow://m/1: fail (Two is too many.)" in said


@pytest.mark.parametrize(
    ("verdict", "where"),
    [(Verdict.PASS, "gate"), (Verdict.FAIL, "another")],
)
def test_any_other_failure_ends_it_with_the_log(
    gates: Gates, ledger: Ledger, verdict: Verdict, where: str
) -> None:
    record(ledger, GateKind.DATA, verdict, task_id=where)
    lived, _ = life(FakeRest([run("pilot", "failed")], failed=[task("gate")]), gates)
    with pytest.raises(DemoError, match="the log of gate"):
        lived.run()


def test_silence_before_the_end_says_what_is_waited_for(gates: Gates) -> None:
    lived, said = life(FakeRest([run("discovery", "success")]), gates, lacks="July is open")
    with pytest.raises(DemoError, match=r"July is open. Waited for: pilot.waiting") as caught:
        lived.run()
    assert "discovery run: success" in str(caught.value)
    assert any(sentence.startswith("waiting for") for sentence in said)


def test_dag_that_cannot_be_imported_is_named(gates: Gates) -> None:
    rest = FakeRest([])
    rest.broken = [{"filename": "pilot.py", "stack_trace": "SyntaxError: here"}]
    lived, _ = life(rest, gates)
    with pytest.raises(DemoError, match=r"pilot.py cannot be imported:\nSyntaxError: here"):
        lived.run()
    assert rest.triggered == []


def test_last_month_is_closed_by_its_decision_and_the_challenger_it_asked_for(
    gates: Gates, ledger: Ledger
) -> None:
    assert "no retrain decision of 2013-07" in str(is_over(gates, []))
    record(ledger, GateKind.RETRAIN, Verdict.PASS, partition="2013-06")
    record(ledger, GateKind.MODEL, Verdict.PASS)
    assert "no retrain decision of 2013-07" in str(is_over(gates, []))
    record(ledger, GateKind.RETRAIN, Verdict.PASS, partition="2013-07")
    assert "was not judged" in str(is_over(gates, []))
    record(ledger, GateKind.MODEL, Verdict.FAIL)
    assert is_over(gates, []) is None


def test_a_no_closes_the_last_month(gates: Gates, ledger: Ledger) -> None:
    record(ledger, GateKind.RETRAIN, Verdict.FAIL, partition="2013-07")
    assert is_over(gates, []) is None
