"""What only a server does: connections that die, tables made by a command, a driver to install."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import StoreNotMigratedError, StoreUnavailableError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.migrate import HEAD, check, migrate
from airflow_ai_provider.store.promotion import Claim, Promotions
from tests.store.processes import together

HERE = Host(name="testhost", boot_id="boot-1")
DRAFT = GateDraft(kind=GateKind.DATA, subject="x", verdict=Verdict.PASS)


def end_backends(url: str) -> int:
    """End every other connection to the database, wait until it has ended, and count them."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def server_store(postgres_url: str) -> Store:
    migrate(Store(postgres_url))
    return Store.open(postgres_url)


def test_a_connection_that_died_in_the_pool_costs_no_error(
    server_store: Store, postgres_url: str
) -> None:
    ledger = Ledger(server_store)
    ledger.append(DRAFT)
    assert end_backends(postgres_url) >= 1
    ledger.append(DRAFT)
    assert end_backends(postgres_url) >= 1
    assert ledger.verify() == (2, None)


def test_a_connection_that_dies_in_the_middle_is_a_typed_error_and_leaves_nothing(
    server_store: Store, postgres_url: str
) -> None:
    ledger = Ledger(server_store)

    def half() -> None:
        with server_store.write() as connection:
            ledger.append_in(connection, DRAFT)
            end_backends(postgres_url)
            connection.execute(sa.select(1))

    with pytest.raises(StoreUnavailableError, match="does not answer"):
        half()

    def at_the_end() -> None:
        with server_store.write() as connection:
            ledger.append_in(connection, DRAFT)
            end_backends(postgres_url)

    with pytest.raises(StoreUnavailableError):
        at_the_end()

    def while_reading() -> None:
        with server_store.read() as connection:
            connection.execute(sa.select(1))
            end_backends(postgres_url)
            connection.execute(sa.select(1))

    with pytest.raises(StoreUnavailableError):
        while_reading()
    assert ledger.verify() == (0, None)


def ask(store: Store) -> Any:
    gpu = GpuStore(store, HERE)
    ticket = Ticket(holder="a", request=GpuRequest.of(), host=HERE.name)
    return gpu.ask(ticket, process=Process(pid=1, start=1, uid=0))


ENTRIES: dict[str, Callable[[Store], Any]] = {
    "ledger write": lambda store: Ledger(store).append(DRAFT),
    "ledger read": lambda store: Ledger(store).search(),
    "ledger verify": lambda store: Ledger(store).verify(),
    "gpu ask": ask,
    "gpu view": lambda store: GpuStore(store, HERE).view("a"),
    "gpu release": lambda store: GpuStore(store, HERE).release("a", 1),
    "gpu tick": lambda store: GpuStore(store, HERE).tick(),
    "gpu status": snapshot,
    "feedback": lambda store: FeedbackStore(store).write_batch([], [], sources=["x"]),
    "promotion": lambda store: Promotions(store).claim(
        Claim(model_name="m", key="k", by="me", move={})
    ),
    "project": lambda store: Projects(store).get("p"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_without_tables_everything_names_the_command_that_makes_them(
    postgres_url: str, entry: str
) -> None:
    with pytest.raises(StoreNotMigratedError) as caught:
        ENTRIES[entry](Store(postgres_url))
    assert "airflow-ai store migrate" in str(caught.value.remedy)


def test_opening_without_tables_names_the_command(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreNotMigratedError, match="airflow-ai store migrate"):
        Store.open(postgres_url)
    assert main(["ledger", "verify", "--json", "--store", postgres_url]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "StoreNotMigratedError"


def test_the_command_makes_the_tables_and_may_be_run_again(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["store", "migrate", "--json", "--store", postgres_url]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["version"] == HEAD
        assert document["store"].startswith("postgresql+psycopg://")
    Store.open(postgres_url)


def test_four_that_migrate_at_once_do_it_once(postgres_url: str) -> None:
    def migrate_it(_number: int, barrier: Any) -> None:
        barrier.wait()
        migrate(Store(postgres_url))

    together(migrate_it, 4)
    check(Store(postgres_url))


def test_a_migration_killed_half_way_leaves_no_half(postgres_url: str) -> None:
    script = (
        "import sys, time, airflow_ai_provider.store.migrate as m\n"
        "whole = m._upgrade\n"
        "def slow(connection):\n"
        "    whole(connection); print('done', file=sys.__stdout__, flush=True)\n"
        "    time.sleep(60)\n"
        "m._upgrade = slow\n"
        "from airflow_ai_provider.cli import main\n"
        f"main(['store', 'migrate', '--store', {postgres_url!r}])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(StoreNotMigratedError):
        check(Store(postgres_url))
    assert main(["store", "migrate", "--json", "--store", postgres_url]) == 0
    check(Store(postgres_url))


def test_without_the_driver_the_extra_to_install_is_named() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from airflow_ai_provider.store.engine import Store\n"
        "Store.open('postgresql://me@127.0.0.1:1/none')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "is not installed" in found.stderr
    assert "airflow-ai-provider[postgres]" in found.stderr


def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(StoreUnavailableError, match="does not answer") as caught:
        Store.open("postgresql://me@127.0.0.1:1/none")
    said = str(caught.value)
    assert "Connection refused Is the server running" in said
    assert not {"\n", "\t"} & {*said}


def test_stores_that_are_let_go_keep_no_connection(postgres_url: str) -> None:
    migrate(Store(postgres_url))
    kept = Store.open(postgres_url)
    gc.disable()  # nobody knows when it comes
    try:
        for _ in range(20):
            with Store.open(postgres_url).read() as connection:
                connection.execute(sa.text("SELECT 1"))
        with kept.read() as connection:
            mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert connection.execute(sa.text(mine)).scalar_one() <= 3  # some are just leaving
    finally:
        gc.enable()
    kept.close()
