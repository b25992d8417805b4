"""Where this installation keeps data and models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "data"
PLACES = {
    "landing": DATA / "landing",
    "features": DATA / "features",
    "evaluations": DATA / "evaluations",
}


def records(gates: Sequence[Mapping[str, Any]], partitions: Sequence[str]) -> list[str]:
    """Return the ids of the gate records that let the partitions pass."""
    found = {gate["partition"]: gate["record"] for gate in gates if gate.get("partition")}
    return [found[partition] for partition in partitions if partition in found]


def tracking_uri() -> str:
    """Return MLflow's address, as Airflow's connection ``mlflow_default`` says it.

    In a trainer's container, where there is no Airflow, the environment says it.
    """
    if find_spec("airflow") is None:
        return os.environ["MLFLOW_TRACKING_URI"]
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    return ModelRegistryHook().configure()
