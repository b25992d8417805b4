"""The training entry point: one function, in a process or in a pod, with our package or alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider import trainer

CODE = """
def train(candidate, depth=1):
    return {"candidate": candidate, "depth": depth}
def broken(): raise ValueError("no data")
def large(): return "x" * 100_000
def nan(): return {"loss": float("nan")}
def strange(): return object()
thing = 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy_training.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_training", raising=False)
    return tmp_path


def test_it_hands_back_what_the_function_returns(
    code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = code / "result.json"
    arguments = ["toy_training:train", "--arguments", '{"candidate": "svc", "depth": 3}']
    assert trainer.main([*arguments, "--result", str(target)]) == 0
    assert json.loads(target.read_text()) == {"candidate": "svc", "depth": 3}
    assert json.loads(capsys.readouterr().out) == {"candidate": "svc", "depth": 3}


@pytest.mark.parametrize(
    ("function", "arguments", "status", "said"),
    [
        ("toy_training", "{}", 2, "MODULE:FUNCTION"),
        ("no_such_module:f", "{}", 2, "PYTHONPATH"),
        ("toy_training:none", "{}", 2, "has no none"),
        ("toy_training:thing", "{}", 2, "no function"),
        ("toy_training:train", "{", 2, "no JSON"),
        ("toy_training:train", "[]", 2, "JSON object"),
        ("toy_training:train", "{}", 1, "candidate"),
        ("toy_training:broken", "{}", 1, "no data"),
        ("toy_training:large", "{}", 1, "object storage or MLflow"),
        ("toy_training:nan", "{}", 1, "JSON compliant"),
        ("toy_training:strange", "{}", 1, "not JSON serializable"),
    ],
)
def test_what_goes_wrong_has_a_status_and_a_sentence(
    code: Path,
    capsys: pytest.CaptureFixture[str],
    function: str,
    arguments: str,
    status: int,
    said: str,
) -> None:
    target = code / "result.json"
    asked = [function, "--arguments", arguments, "--result", str(target)]
    assert trainer.main(asked) == status
    assert said in capsys.readouterr().err
    assert list(code.glob("*result*")) == []  # neither a result nor half of one


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_every_small_result_comes_back_the_same(value: object) -> None:
    assert json.loads(trainer.as_json(value)) == value


def test_the_file_runs_alone(code: Path) -> None:
    shutil.copy(trainer.__file__, code / "trainer.py")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "trainer", "toy_training:train",
         "--arguments", '{"candidate": "svc"}'],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["candidate"] == "svc"
