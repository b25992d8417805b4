"""The process that loads and calls one model: see ``model_process.py``.

Run as ``python -m airflow_ai_provider.adapters.model_child FOLDER``: reads ``FOLDER/order``, writes
a line of JSON to ``FOLDER/answers`` after each stage.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.model_tree import digest_of_tree

_PDEATHSIG = 1
_ONE_ROW, _MANY_ROWS = (50, 4.0), (20, 8.0)  # calls at most, seconds at most
_WARM = 2
_LONGEST_REQUIREMENTS = 200
_SERVER_ERRORS = (
    "INTERNAL_ERROR",
    "PERMISSION_DENIED",
    "REQUEST_LIMIT_EXCEEDED",
    "TEMPORARILY_UNAVAILABLE",
    "UNAUTHENTICATED",
)


def main(folder: Path) -> None:
    """Do what ``folder/order`` says."""
    _die_with_the_parent()
    order = json.loads((folder / "order").read_text())
    with (folder / "answers").open("w", buffering=1) as answers:

        def say(stage: str, **facts: Any) -> None:
            answers.write(json.dumps({"stage": stage, **facts}, default=str) + "\n")

        stage = "start"
        try:
            for stage, facts in _stages(order):
                say(stage, **facts)
        except BaseException as error:  # noqa: BLE001 - a model's code may raise anything
            unreachable = stage == "ready" and _is_of_the_server(error)
            why = f"{type(error).__name__}: {_first_line(error)}"
            say(stage, error=why, unreachable=unreachable)


def _stages(order: dict[str, Any]) -> Any:
    uri, is_mlflow = order["model_uri"], order["loader"].startswith("mlflow.")
    load = _named(order["loader"])
    environment: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    yield "ready", {"environment": environment}
    place = _fetch(uri) if is_mlflow else Path(uri)
    if is_mlflow:
        environment["requirements"] = _requirements(place)
        uri = str(place)
    facts: dict[str, Any] = {"environment": environment, "costs": {}}
    if place.exists():
        size, facts["artifact_digest"] = digest_of_tree(place)
        facts["costs"]["size_bytes"] = size
    if is_mlflow and order["run_id"]:
        facts["run"] = _run(order["run_id"])
    yield "fetched", facts
    costs = facts["costs"]
    began = time.perf_counter()
    model = load(uri)
    costs["load_s"] = time.perf_counter() - began
    yield "loaded", {"costs": costs}
    frame = _inputs(order["inputs"], place if is_mlflow else None)
    label = frame.pop(order["label"]) if order["label"] and frame is not None else None
    rows = 0 if frame is None else len(frame)
    if frame is not None:
        _check_answers(model, frame)
        costs.update(_latencies(model.predict, frame))
    importance = None if label is None else _importance(model.predict, frame, label)
    costs["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    yield "done", {"costs": costs, "rows": rows, "importance": importance}


def _named(loader: str) -> Callable[[str], Any]:
    module, _, name = loader.partition(":")
    found: Callable[[str], Any] = getattr(importlib.import_module(module), name)
    return found


def _fetch(uri: str) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri))


def _requirements(place: Path) -> list[str]:
    path = place / "requirements.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip()][:_LONGEST_REQUIREMENTS]


def _run(run_id: str) -> dict[str, Any]:
    import mlflow

    run = mlflow.MlflowClient().get_run(run_id)
    return {
        "metrics": dict(run.data.metrics),
        "params": dict(run.data.params),
        "code_revision": run.data.tags.get("mlflow.source.git.commit"),
        "source": run.data.tags.get("mlflow.source.name"),
    }


def _inputs(path: str | None, mlflow_model: Path | None) -> Any:
    if path is not None:
        import duckdb

        with duckdb.connect() as connection:
            frame = connection.execute("FROM read_parquet(?)", [path]).df()
    elif mlflow_model is not None:
        from mlflow.models import Model

        frame = Model.load(str(mlflow_model)).load_input_example(str(mlflow_model))
    else:
        return None
    if frame is not None and len(frame) == 0:
        raise ValueError("the inputs have no rows")
    return frame


def _check_answers(model: Any, frame: Any) -> None:
    answers = model.predict(frame)
    if len(answers) != len(frame):
        raise ValueError(f"it gave {len(answers)} answers to {len(frame)} rows")


def _importance(predict: Callable[[Any], Any], frame: Any, label: Any) -> dict[str, float]:
    from airflow_ai_provider.core.promotion.importance import permutation_importance

    return permutation_importance(predict, frame, label)


def _latencies(predict: Callable[[Any], Any], frame: Any) -> dict[str, float]:
    import numpy as np

    take = frame.iloc.__getitem__ if hasattr(frame, "iloc") else np.asarray(frame).__getitem__
    one = _timed(predict, take([0]), *_ONE_ROW)
    many = _timed(predict, take(np.arange(1000) % len(frame)), *_MANY_ROWS)
    return {
        "p50_ms": float(np.percentile(one, 50)),
        "p95_ms": float(np.percentile(one, 95)),
        "p95_ms_per_1000": float(np.percentile(many, 95)),
    }


def _timed(predict: Callable[[Any], Any], rows: Any, calls: int, seconds: float) -> list[float]:
    """Return the milliseconds of each call; a slow model is called less often, but once."""
    until, taken = time.monotonic() + seconds, []
    for call in range(_WARM + calls):
        began = time.perf_counter()
        predict(rows)
        spent = 1000 * (time.perf_counter() - began)
        if call >= _WARM or time.monotonic() > until:
            taken.append(spent)
        if taken and time.monotonic() > until:
            break
    return taken


def _is_of_the_server(error: BaseException) -> bool:
    """Whether the files could not be asked for: MLflow says no more than "internal error" then."""
    return (
        isinstance(error, (ConnectionError, TimeoutError))
        or getattr(error, "error_code", None) in _SERVER_ERRORS
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:500]


def _die_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it was gone before
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
