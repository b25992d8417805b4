"""A model is loaded in a process of its own, and whatever it does is an answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from airflow_ai_provider.adapters.model_process import measure_model
from airflow_ai_provider.adapters.model_tree import digest_of_tree
from airflow_ai_provider.core.promotion.measured import MeasureLimits


@pytest.fixture
def inputs(tmp_path):
    path = tmp_path / "inputs.parquet"
    duckdb.sql(f"COPY (SELECT i AS distance FROM range(7) t(i)) TO '{path}'")
    return path


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1234")
    return folder


def measured(model, name, inputs=None, **limits):
    return measure_model(
        str(model),
        inputs=inputs,
        loader=f"tests.toy_models:{name}",
        limits=MeasureLimits(**{"time_s": 60.0, **limits}),
    )


def test_a_good_model_is_measured(model, inputs):
    found = measured(model, "slow_to_load", inputs)
    assert found.failure is None
    assert found.rows == 7
    assert 0.2 <= found.costs["load_s"] < 5
    assert 0 <= found.costs["p50_ms"] <= found.costs["p95_ms"]
    assert found.costs["size_bytes"] == 4
    assert 5 * 2**20 < found.costs["peak_memory_bytes"] < 2**30
    assert found.artifact_digest == digest_of_tree(model)[1]
    assert found.environment["python"] == ".".join(map(str, sys.version_info[:3]))


def test_without_inputs_only_the_load_is_measured(model):
    found = measured(model, "constant")
    assert found.failure is None
    assert set(found.costs) == {"load_s", "size_bytes", "peak_memory_bytes"}


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("broken", "while loading, ValueError: invalid load key, '\\x00'."),
        ("leaves", "while loading, SystemExit: 3"),
        ("crashes", "while loading, the process ended with signal SIGABRT"),
        ("nowhere", "while starting Python, AttributeError: module 'tests.toy_models' has no"),
        ("too_few", "while predicting, ValueError: it gave 1 answers to 7 rows"),
        ("picky", "while predicting, KeyError: 'wingspan'"),
    ],
)
def test_a_model_that_cannot_be_used_says_why(model, inputs, name, failure):
    found = measured(model, name, inputs)
    assert found.failure.startswith(failure)


def test_inputs_that_are_not_there(model, tmp_path):
    assert "while predicting, IOException" in measured(model, "constant", tmp_path / "no").failure


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_importance_is_what_shuffling_an_input_costs(model, tmp_path):
    path = tmp_path / "labelled.parquet"
    duckdb.sql(
        f"COPY (SELECT i % 7 AS distance, i % 5 AS noise, (i % 7 > 3)::INT AS late"
        f" FROM range(700) t(i)) TO '{path}'"
    )
    found = measure_model(
        str(model), inputs=path, label="late", loader="tests.toy_models:far_is_late"
    )
    assert found.failure is None
    assert found.importance["noise"] == 0
    assert 0.35 < found.importance["distance"] < 0.65
    missing = measure_model(
        str(model), inputs=path, label="delay", loader="tests.toy_models:far_is_late"
    )
    assert missing.failure == "while predicting, KeyError: 'delay'"


def test_a_model_that_loads_for_ever_is_ended_with_what_it_started(model):
    found = measured(model, "hangs_in_a_child", time_s=2.0)
    assert found.failure == "while loading, it was not done within 2 s"
    child = int(Path(f"{model}.child").read_text())
    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def test_a_model_that_eats_the_memory_is_ended(model):
    found = measured(model, "hungry", memory_bytes=300 * 2**20)
    assert found.failure == "while loading, it took more than 314,572,800 bytes of memory"


def test_it_ends_with_the_task_that_started_it(model, tmp_path):
    code = (
        "import sys; from airflow_ai_provider.adapters.model_process import measure_model;"
        "measure_model(sys.argv[1], loader='tests.toy_models:hangs_in_a_child')"
    )
    task = subprocess.Popen([sys.executable, "-c", code, str(model)])
    try:
        marker = Path(f"{model}.child")
        deadline = time.monotonic() + 30
        while not marker.exists() or not marker.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stat = Path(f"/proc/{marker.read_text()}/stat").read_text()
        loader = int(stat.rpartition(") ")[2].split()[1])
    finally:
        task.send_signal(signal.SIGKILL)
        task.wait()
    while is_running(loader):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int(marker.read_text()), signal.SIGKILL)  # what a model forked is not ours to find


def test_the_digest_covers_names_and_contents(model):
    size, first = digest_of_tree(model)
    assert size == 4
    (model / "weights").rename(model / "w")
    assert digest_of_tree(model)[1] != first
    (model / "w").rename(model / "weights")
    assert digest_of_tree(model) == (4, first)
    (model / "weights").write_bytes(b"1235")
    assert digest_of_tree(model)[1] != first
    assert digest_of_tree(model / "weights")[0] == 4
