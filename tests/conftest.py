"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.fake_nvml import FakeNvml, compile_library, node
from tests.mlflow_server import mlflow_shared
from tests.postgres import PostgresServer, postgres_running
from tests.stores import store_file, store_in_memory

# Threads that wait for each other would else turn in circles on cores that other tests could use:
# on busy ones a small training takes twenty times as long. Processes of the tests inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# what a property costs is no part of it: a machine with other work is slow at times
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="module")
def environment_before_the_module() -> Iterator[None]:
    """Undo what a module's fixtures do to the environment: libraries point processes at servers."""
    yield from _environment_as_it_was()


@pytest.fixture(autouse=True)
def environment_before_the_test() -> Iterator[None]:
    """Undo what a test does to the environment."""
    yield from _environment_as_it_was()


def _environment_as_it_was() -> Iterator[None]:
    saved = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind, empty: what one can do every other can."""
    if request.param == "memory":
        opened = store_in_memory()
    elif request.param == "sqlite":
        opened = Store.open(store_file(tmp_path / "airflow_ai.db"))
    else:
        opened = Store.open(request.getfixturevalue("postgres_store"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL 18 of this test run's own, on a socket in a folder of its own."""
    with postgres_running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database, dropped afterwards."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database that is an empty store; nobody may be connected to it."""
    with postgres_server.database() as url:
        store = Store(url)
        migrate(store)
        store.close()
        yield str(store.url.database)


@pytest.fixture
def postgres_store(postgres_server: PostgresServer, migrated_database: str) -> Iterator[str]:
    """The address of an empty store, dropped afterwards."""
    with postgres_server.database(like=migrated_database) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that lets everybody in, of this test run's own."""
    base = tmp_path_factory.getbasetemp()
    in_parallel = "PYTEST_XDIST_WORKER" in os.environ
    with mlflow_shared(base.parent if in_parallel else base) as url:
        yield url


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake NVML, compiled once."""
    return compile_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def fake_nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """A node of two cards with a fake driver; a test may make it any other machine."""
    return FakeNvml(nvml_library, tmp_path, node(2))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Let a worker have a file, and one have all that start a whole Airflow: one is enough."""
    return Scheduling(config, log)


class Scheduling(LoadFileScheduling):
    """By file, but for the folders that one worker goes through file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return next((f for f in ONE_BY_ONE if nodeid.startswith(f)), super()._split_scope(nodeid))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin, where several workers share the tests, with what takes one of them longest."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


ONE_BY_ONE = ("tests/live/", "tests/browser/")
PARITY = ("test_quality_parity.py", "test_quality_table_parity.py")
LONGEST = (*ONE_BY_ONE, *(f"tests/adapters/{name}" for name in PARITY))
MAY_BE_SKIPPED = {"gpu", "kubernetes", "fleet", "label_studio"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Make a skip a failure where every test must run, but of tests that need what is not here."""
    report = yield
    excused = any(item.get_closest_marker(name) for name in MAY_BE_SKIPPED)
    if report.skipped and os.environ.get("AIRFLOW_AI_EVERY_TEST_RUNS") and not excused:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and every test must run: {report.longrepr}"
    return report
