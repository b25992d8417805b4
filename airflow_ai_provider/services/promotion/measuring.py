"""Add to the evidence on a candidate what a process of its own found of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ai_provider.adapters.model_process import MLFLOW_LOADER, measure_model
from airflow_ai_provider.core.errors import EvidenceError, RegistryUnavailableError
from airflow_ai_provider.core.promotion.evidence import parse_evidence
from airflow_ai_provider.core.promotion.measured import (
    MeasureLimits,
    parse_bytes,
    with_measurement,
)


def measure_evidence(
    evidence: Any,
    *,
    inputs: str | None = None,
    label: str | None = None,
    time_limit: float = 300.0,
    memory_limit: int | str = "4GiB",
    loader: str = MLFLOW_LOADER,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return ``evidence`` with ``costs``, ``measured``, ``environment`` and ``run``.

    A model that does not load, loads for ever, eats the memory or answers nonsense is no error
    here: the evidence says so, and the model gate refuses it.

    :raises EvidenceError: the evidence does not say where the model is, or a limit means nothing.
    :raises RegistryUnavailableError: the model's files cannot be asked for; try again.
    """
    found = parse_evidence(evidence)
    if found.model_uri is None:
        raise EvidenceError(
            f"The evidence on {found.model_name} lacks model_uri.",
            remedy="Log the model in an MLflow run and return its address from the training task.",
        )
    limits = MeasureLimits(time_s=_seconds(time_limit), memory_bytes=parse_bytes(memory_limit))
    measured = measure_model(
        found.model_uri,
        inputs=inputs,
        label=label,
        limits=limits,
        loader=loader,
        run_id=found.run_id,
        environment=environment,
    )
    if measured.unreachable:
        raise RegistryUnavailableError(
            f"The files of {found.model_uri} cannot be asked for: {measured.failure}.",
            remedy="Check that the MLflow server answers and lets this connection in.",
        )
    return with_measurement(evidence, measured, limits)


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EvidenceError(f"{value!r} is no time limit.", remedy="Write seconds.") from None
