"""Look whether everything that the package needs is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from airflow_ai_provider.adapters import inventory
from airflow_ai_provider.core.errors import AirflowAiError, ProjectFileError
from airflow_ai_provider.services.doctor_checks import Check
from airflow_ai_provider.services.doctor_gpu import devices
from airflow_ai_provider.services.project_file import load_project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import HEAD, current

SAFE_SQLITE = (3, 51, 3)
EXTRAS = {"great-expectations": "great-expectations", "mlflow": "mlflow"}


def examine(open_store: Callable[[], Store], project: Path | None = None) -> list[Check]:
    """Return every check, in order; one that fails does not end the others."""
    return [*_store(open_store), *devices(), *_extras(), *_project(project)]


def _store(open_store: Callable[[], Store]) -> Iterator[Check]:
    try:
        store = open_store()
        version = current(store)
    except AirflowAiError as error:
        yield Check(name="store", ok=False, message=error.message, remedy=error.remedy)
        return
    yield Check(
        name="store",
        ok=version == HEAD,
        message=f"{store.safe_url} answers; its tables are of version {version}.",
        remedy=None if version == HEAD else "Run `airflow-ai store migrate`.",
    )
    try:
        records, broken = Ledger(store).verify()
    except AirflowAiError as error:
        yield Check(name="ledger", ok=False, message=error.message, remedy=error.remedy)
        return
    yield Check(
        name="ledger",
        ok=broken is None,
        message=f"{records} gate records, the chain is whole."
        if broken is None
        else f"The chain breaks at record {broken.record}: {broken.reason}.",
        remedy=None if broken is None else "Restore the store from a backup of before the change.",
    )
    if store.is_sqlite:
        yield _sqlite()


def _sqlite() -> Check:
    safe = sqlite3.sqlite_version_info >= SAFE_SQLITE
    needed = ".".join(map(str, SAFE_SQLITE))
    return Check(
        name="sqlite",
        ok=True,
        message=f"SQLite {sqlite3.sqlite_version}."
        if safe
        else f"Warning: SQLite {sqlite3.sqlite_version} is older than {needed}, which mends a "
        "fault in the write-ahead log; our own file lock keeps this store clear of it.",
        remedy=None if safe else f"Let no other program write to the file, or use {needed}.",
    )


def _extras() -> Iterator[Check]:
    for extra, distribution in EXTRAS.items():
        version = inventory.version_of(distribution)
        yield Check(
            name=extra,
            ok=True,  # an extra: a plain installation is whole without it
            message=f"{distribution} {version} is installed."
            if version
            else f"{distribution} is not installed; what needs it will say so.",
            remedy=None if version else f"pip install 'airflow-ai-provider[{extra}]'",
        )


def _project(path: Path | None) -> Iterator[Check]:
    if path is None:
        return
    try:
        project = load_project(path)
    except ProjectFileError as error:
        yield Check(name="project", ok=False, message=error.message, remedy=error.remedy)
        return
    yield Check(name="project", ok=True, message=f"{path} describes {project.name}.")
