"""How the store's database is addressed, and how a connection to it is set up."""

from __future__ import annotations

import math
import os
import select
import time
import weakref
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from airflow_ai_provider.core.errors import StoreError

_BUSY_TIMEOUT_MS = 30_000
_ASK_AFTER = 0.5  # seconds


def normal_url(url: str) -> str:
    """Return ``url`` with the driver that this package uses.

    :raises StoreError: the URL means nothing, or names another kind of database.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreError(
            "The store's address is no database URL.",
            remedy="Write sqlite:////path/to/airflow_ai.db or postgresql://user@host/database.",
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if backend == "sqlite":
        return parsed.render_as_string(hide_password=False)
    raise StoreError(f"A store cannot be a {backend} database.", remedy="Use SQLite or PostgreSQL.")


def in_memory(url: sa.URL) -> bool:
    """Whether a SQLite database of this address is no file."""
    return url.database in (None, "", ":memory:")


def make_engine(url: sa.URL) -> sa.Engine:
    """Return an engine whose connections are set up as the store needs them.

    :raises StoreError: the driver is not installed.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {}
    if is_sqlite:
        options["connect_args"] = {"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
        if in_memory(url):
            options["poolclass"] = StaticPool
    else:
        options["pool_pre_ping"] = True
    try:
        engine = sa.create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"The driver for {url.render_as_string(hide_password=True)} is not installed.",
            remedy="pip install 'airflow-ai-provider[postgres]'",
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
    else:
        dialect: Any = engine.dialect
        dialect.do_ping = _Ping(dialect.do_ping)
    return engine


def let_go(engine: sa.Engine, pid: int) -> None:
    """Close the connections of an engine that process ``pid`` made."""
    if pid == os.getpid():  # after a fork they are the parent's
        engine.dispose()


class _Ping:
    """Asks a server whether a connection is alive, unless that is known.

    It is when the server was asked a moment ago and the socket has nothing to say: a server that
    ends a connection says so.
    """

    def __init__(self, ping: Callable[[Any], bool]) -> None:
        self._ping = ping
        self._asked: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def __call__(self, connection: Any) -> bool:
        now = time.monotonic()
        if now - self._asked.get(connection, -math.inf) < _ASK_AFTER and not _has_spoken(
            connection
        ):
            return True
        self._asked[connection] = now
        return self._ping(connection)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own is deferred
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA synchronous=NORMAL")  # loses commits only with the operating system
    cursor.execute("PRAGMA foreign_keys=ON")
    # 16 MiB of log, so that fewer than one commit in a hundred waits for a checkpoint
    cursor.execute("PRAGMA wal_autocheckpoint=4000")
    cursor.close()


def _has_spoken(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
