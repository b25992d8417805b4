"""Bring the store's tables to this version, or say that they are of another.

All pending migrations run in one transaction: on SQLite under the store's file lock, on PostgreSQL
under an advisory lock. A process killed half way leaves the tables as they were.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreNotMigratedError
from airflow_ai_provider.store.engine import Store

VERSION_TABLE = "airflow_ai_version"
HEAD = "0016"
_ADVISORY_LOCK = 0x61695F6D  # "ai_m"
_one_at_a_time = threading.Lock()  # Alembic's operations proxy is global to a process


def current(store: Store) -> str | None:
    """Return the version of the store's tables; None when it has none yet."""
    with store.read() as connection:
        return _version(connection)


def migrate(store: Store) -> None:
    """Bring the tables of ``store`` to this version.

    :raises StoreNotMigratedError: they are of a later one.
    """
    if current(store) == HEAD:
        return
    with _one_at_a_time, store.write() as connection:
        if not store.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        found = _version(connection)
        if found != HEAD:
            _refuse_unknown(store, found)
            _upgrade(connection)


def check(store: Store) -> None:
    """Refuse a store whose tables are not of this version.

    :raises StoreNotMigratedError: they are not.
    """
    found = current(store)
    if found == HEAD:
        return
    _refuse_unknown(store, found)
    state = "has no tables yet" if found is None else f"has tables of version {found}"
    raise StoreNotMigratedError(
        f"The store {store.safe_url} {state}; this version needs {HEAD}.",
        remedy="Run `airflow-ai store migrate`.",
        found=found,
        needed=HEAD,
    )


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    statement = sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a constant
    return connection.execute(statement).scalar_one_or_none()


def _refuse_unknown(store: Store, found: str | None) -> None:
    if found is not None and found > HEAD:
        raise StoreNotMigratedError(
            f"The store {store.safe_url} has tables of version {found}; this version knows {HEAD}.",
            remedy="Upgrade airflow-ai-provider on this machine.",
            found=found,
            needed=HEAD,
        )


def _upgrade(connection: sa.Connection) -> None:
    from alembic.operations import Operations
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(_config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        with Operations.context(environment.get_context()):
            environment.run_migrations()


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
