"""The training code lies beside the DAG files, where Airflow puts it on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "dags"))


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landing folder with January to March, the references and the digits; do not write."""
    from flight_delays.data import ensure_history

    folder = tmp_path_factory.mktemp("history") / "landing"
    ensure_history(folder)
    return folder
