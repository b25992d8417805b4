"""Load and call a model in a process of its own, under a time limit and a memory limit.

A model is somebody's code: it may hang, eat the memory or crash, and the worker must outlive that.
The process says how far it came line by line (``model_child.py``), so that what it ended in is
known. Its memory is looked at from outside, all that it starts included.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.promotion.measured import MeasureLimits, Measurement

MLFLOW_LOADER = "mlflow.pyfunc:load_model"
_LOOK_EVERY = 0.02
_PROC = Path("/proc")
_DOING = {
    "start": "starting Python",
    "ready": "fetching its files",
    "fetched": "loading",
    "loaded": "predicting",
}


def measure_model(
    model_uri: str,
    *,
    inputs: str | Path | None = None,
    limits: MeasureLimits | None = None,
    label: str | None = None,
    loader: str = MLFLOW_LOADER,
    run_id: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Return what loading ``model_uri`` and calling ``predict`` on ``inputs`` costs.

    ``inputs`` is a Parquet file of features; None means the input example that was logged with an
    MLflow model. ``label`` is the column of ``inputs`` with what was observed, from which the
    permutation importance of each input is measured. ``loader`` is ``module:function``;
    ``environment`` adds variables, such as those that let MLflow in. Whatever the
    model does is an answer: this raises for none of it.
    """
    limits = limits or MeasureLimits()
    order = {
        "model_uri": model_uri,
        "inputs": None if inputs is None else str(inputs),
        "label": label,
        "loader": loader,
        "run_id": run_id,
    }
    with tempfile.TemporaryDirectory(prefix="airflow-ai-model-") as folder:
        child = _start(order, Path(folder), environment or {})
        try:
            why, outside = _watch(child, limits)
        finally:
            _end(child)
        said = _said(Path(folder) / "answers")
        found = _measurement(child.returncode, said, why, outside, Path(folder) / "output")
    peak = found.costs.get("peak_memory_bytes", 0)
    if found.failure is None and peak > limits.memory_bytes:  # between two looks
        return replace(found, failure=_too_much(limits))
    return found


def _start(
    order: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    (folder / "order").write_text(json.dumps(order))
    (folder / "tmp").mkdir()
    variables = {**os.environ, **environment, "TMPDIR": str(folder / "tmp")}
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own module in this Python
            [sys.executable, "-m", "airflow_ai_provider.adapters.model_child", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
        )


def _watch(child: subprocess.Popen[bytes], limits: MeasureLimits) -> tuple[str | None, int]:
    """Wait until the process ends or goes over a limit; return which, and the most memory seen."""
    until, most = time.monotonic() + limits.time_s, 0
    while child.poll() is None:
        most = max(most, _memory_of(child.pid))
        if most > limits.memory_bytes:
            return _too_much(limits), most
        if time.monotonic() > until:
            return f"it was not done within {limits.time_s:g} s", most
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_EVERY)
    return None, most


def _too_much(limits: MeasureLimits) -> str:
    return f"it took more than {limits.memory_bytes:,} bytes of memory"


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and all of its session: nothing of a model goes on behind the task."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _memory_of(pid: int) -> int:
    """Return the resident bytes of a process and of those it started."""
    total, frontier = 0, [str(pid)]
    while frontier:
        process = _PROC / frontier.pop()
        try:
            pages = int((process / "statm").read_text().split()[1])
            for task in (process / "task").iterdir():
                frontier += (task / "children").read_text().split()
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def _said(path: Path) -> list[dict[str, Any]]:
    """Return the lines that the process wrote whole."""
    try:
        lines = path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _measurement(
    code: int | None,
    said: list[dict[str, Any]],
    why: str | None,
    outside: int,
    output: Path,
) -> Measurement:
    facts: dict[str, Any] = {}
    stage = "start"
    for line in said:
        stage = line.pop("stage", stage)
        facts.update(line)
    if why is None and "error" in facts:
        why = str(facts["error"])
    elif why is None and stage != "done":
        why = f"the process ended with {_ending(code)}: {_last_words(output)}"
    if why is not None and stage in _DOING:
        why = f"while {_DOING[stage]}, {why}"
    costs = dict(facts.get("costs") or {})
    if outside or "peak_memory_bytes" in costs:
        costs["peak_memory_bytes"] = max(outside, costs.get("peak_memory_bytes", 0))
    return Measurement(
        failure=why,
        unreachable=bool(facts.get("unreachable")),
        costs=costs,
        artifact_digest=facts.get("artifact_digest"),
        environment=facts.get("environment") or {},
        run=facts.get("run") or {},
        importance=facts.get("importance") or {},
        rows=int(facts.get("rows") or 0),
    )


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _last_words(output: Path) -> str:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 2000))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
