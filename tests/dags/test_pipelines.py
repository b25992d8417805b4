"""What the templates call of a training package is there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from flight_delays import pipeline

DAGS = Path(__file__).parents[2] / "dags"


def test_every_function_that_the_templates_call_is_there() -> None:
    sources = "".join(path.read_text() for path in DAGS.glob("*.py"))
    called = set(re.findall(r"package\(MODEL\)\s*\.(\w+)", sources))
    called |= set(re.findall(r"package\(model\)\.(\w+)", sources))
    called |= set(re.findall(r"import_module\(f\"{use_case}\.pipeline\"\)\.(\w+)", sources))
    assert {"train", "evaluate", "score", "outcomes", "prediction_logs"} <= called
    assert [name for name in sorted(called) if not callable(getattr(pipeline, name, None))] == []


def test_the_log_written_last_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "DATA", tmp_path)
    for version, moment in (("3", 200), ("12", 100)):
        log = tmp_path / "predictions" / "flight_delays" / version / "2013-04.parquet"
        log.parent.mkdir(parents=True)
        log.touch()
        os.utime(log, (moment, moment))
    found = pipeline.prediction_logs("2013-04")
    assert [log["version"] for log in found] == ["12", "3"]
    assert pipeline.prediction_logs("2013-05") == []
