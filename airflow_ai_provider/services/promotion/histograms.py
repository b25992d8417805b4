"""Log how a network's weights and gradients are distributed; read it back for the model card."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.promotion.histograms import (
    FOLDER,
    StepHistograms,
    read_histograms,
    step_histograms,
)


def log_histograms(
    weights: Any, *, step: int, gradients: Any = None, run_id: str | None = None
) -> StepHistograms:
    """Log the distributions of weights and gradients at ``step`` to the run, and return them.

    For training code of your own, where MLflow is set up and a run is active::

        loss.backward()
        if step % 100 == 0:
            log_histograms(model, step=step)   # PyTorch: weights, and gradients where there are any

        log_histograms(model, step=step, gradients=dict(zip(names, tape.gradient(...))))  # Keras
        log_histograms({"w": w}, step=step, gradients={"w": dw})                     # NumPy, JAX

    The model card shows the last step beside the first. Each step is one artifact of a few
    kilobytes; ``core.promotion.histograms`` documents its shape.

    :param weights: a PyTorch module, a Keras model, or arrays by name.
    :param step: the step of the training, from 0 on; the same step again replaces it.
    :param gradients: arrays by name, where ``weights`` does not carry them.
    :param run_id: the run; the active one unless said.
    :raises EvidenceError: something holds no numbers.
    """
    import mlflow

    found = step_histograms(weights, step=step, gradients=gradients)
    mlflow.log_dict(found.document, found.path, run_id=run_id)
    return found


def logged_histograms(client: Any, run_id: str) -> list[StepHistograms]:
    """Return the first and the last step that a run logged; nothing where it logged none.

    :param client: MLflow's client.
    :raises EvidenceError: what lies there are no histograms.
    """
    listed = client.list_artifacts(run_id, FOLDER)
    paths = sorted(item.path for item in listed if item.path.endswith(".json"))
    ends = list(dict.fromkeys(paths[:1] + paths[-1:]))
    with TemporaryDirectory() as folder:
        return [_read(client.download_artifacts(run_id, path, folder), path) for path in ends]


def _read(file: str, path: str) -> StepHistograms:
    try:
        return read_histograms(json.loads(Path(file).read_text(encoding="utf-8")))
    except (ValueError, EvidenceError) as error:
        raise EvidenceError(
            f"The artifact {path} holds no histograms of weights and gradients.",
            remedy="Let log_histograms write what lies under histograms/.",
            path=path,
        ) from error
