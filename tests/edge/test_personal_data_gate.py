"""The shipped suite for personal data behind the gate's operator."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.ledger import Ledger


class TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.dumps(value)


def test_personal_data_stop_and_are_repeated_nowhere(
    tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,contact\n1,anna.berg@example.com\n")
    gate = DataQualityGateOperator(
        task_id="gate", data=str(path), suite="airflow-ai:personal_data", dataset="people"
    )
    names = {"dag_id": "d", "run_id": "r", "task_id": "gate", "map_index": -1, "try_number": 1}
    ti = TaskInstance(**names, pushed={}, task=gate)
    with pytest.raises(AirflowFailException, match="1 e-mail addresses in contact") as caught:
        gate.execute({"ti": ti, "outlet_events": {}})
    [record] = ledger.search()
    assert record.verdict == "fail"
    shown = [*ti.pushed.values(), str(record), str(caught.value), caplog.text]
    assert ti.pushed
    assert not any("anna" in text for text in shown)
