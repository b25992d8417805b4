"""The ledger: append-only, idempotent per decision, whole under concurrent writers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import gate_record


def draft(subject: str = "ai-data://flights/2013-01", verdict: Verdict = Verdict.PASS) -> GateDraft:
    return GateDraft(kind=GateKind.DATA, subject=subject, verdict=verdict, evidence={"rows": 3})


def test_records_come_back_as_they_were_written(store: Store) -> None:
    ledger = Ledger(store)
    written = [ledger.append(draft(f"ai-data://flights/2013-{m:02d}")) for m in range(1, 4)]
    assert ledger.search() == written
    assert ledger.search(newest_first=True, limit=1) == [written[-1]]
    assert ledger.search(kind=GateKind.MODEL) == []
    assert ledger.search(subject="ai-data://flights/2013-02") == [written[1]]
    assert ledger.search(subject_prefix="ai-data://flights/") == written
    assert ledger.get(written[0].id) == written[0]
    assert ledger.verify() == (3, None)


def test_one_decision_leaves_one_record_however_often_it_is_retried(store: Store) -> None:
    ledger = Ledger(store)
    first = ledger.append(draft(), key="task:1")
    assert ledger.append(draft(), key="task:1") == first
    assert ledger.append(draft(), key="task:2") != first
    assert ledger.verify() == (2, None)


def test_an_unknown_record_is_an_error_that_names_it(store: Store) -> None:
    with pytest.raises(LedgerError, match="no gate record nowhere"):
        Ledger(store).get("nowhere")


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    ledger = Ledger(store)
    ledger.append(draft())

    def half() -> None:
        with store.write() as connection:
            ledger.append_in(connection, draft())
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert ledger.verify() == (1, None)


def test_writers_side_by_side_leave_one_whole_chain(store: Store) -> None:
    ledger = Ledger(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.append(draft(f"ai-data://x/{n}")), range(80)))
    assert ledger.verify() == (80, None)


@pytest.mark.parametrize(
    ("damage", "sequence", "reason"),
    [
        (gate_record.update().where(gate_record.c.sequence == 2).values(verdict="fail"), 2,
         "changed"),
        (gate_record.delete().where(gate_record.c.sequence == 2), 3, "record 2 is missing"),
        (gate_record.delete().where(gate_record.c.sequence == 5), 5, "missing at the end"),
    ],
)  # fmt: skip
def test_verify_names_the_damage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: sa.Executable,
    sequence: int,
    reason: str,
) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = Store.open(url)
    for number in range(5):
        Ledger(store).append(draft(f"ai-data://x/{number}"))
    assert main(["ledger", "verify", "--json", "--store", url]) == 0
    assert json.loads(capsys.readouterr().out) == {"records": 5, "ok": True, "first_bad": None}
    with store.write() as connection:
        connection.execute(damage)
    assert main(["--store", url, "ledger", "verify", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["first_bad"]["sequence"] == sequence
    assert reason in answer["first_bad"]["reason"]


def test_verify_of_no_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.db"
    assert main(["ledger", "verify", "--json", "--store", f"sqlite:///{missing}"]) == 2
    assert "There is no store" in json.loads(capsys.readouterr().out)["message"]
    assert not missing.exists()
