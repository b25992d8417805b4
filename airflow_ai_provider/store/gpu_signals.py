"""How a process that waits learns that the store changed, without asking it.

On SQLite who grants makes a file longer, which all watch. A server tells: each grant is told under
the name of the process that watches the ticket.
"""

from __future__ import annotations

import os
import select
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreUnavailableError, in_one_line
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_wait import listen_for

_FIRST_POLL, _LAST_POLL = 0.005, 0.05
_BUSY_FOR = 1.0  # seconds since the last news that it polls at the first pace


class Signals(Protocol):
    """What a watch hears; ``wake`` may be called from any thread, the rest from the watch's."""

    def read(self) -> Any:
        """Return a context manager that yields a connection to read from."""

    def adopt(self, tickets: Collection[str]) -> None:
        """Have the grants of ``tickets`` told to this process."""

    def wait(self, seconds: float) -> frozenset[str] | None:
        """Return the tickets that were told of; None when anything may have changed."""

    def wake(self) -> None:
        """End a ``wait``."""

    def close(self) -> None:
        """Let go of everything."""


def signals_of(store: Store) -> Signals:
    """Return the way in which ``store`` makes itself heard."""
    return FileSignals(store) if store.is_sqlite else ServerSignals(store)


class FileSignals:
    """Grants in a SQLite store, seen from outside."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._awake = threading.Event()
        self._seen = store.news_mark()
        self._heard = 0.0

    def read(self) -> Any:
        """Return a connection of the store."""
        return self._store.glance()

    def adopt(self, tickets: Collection[str]) -> None:
        """Do nothing: all news is seen."""

    def wait(self, seconds: float) -> frozenset[str] | None:
        """Wait for news."""
        end = time.monotonic() + seconds
        pause = _FIRST_POLL
        while True:
            if self._awake.is_set():
                self._awake.clear()
                return frozenset()
            mark, now = self._store.news_mark(), time.monotonic()
            if mark != self._seen:
                self._seen, self._heard = mark, now
                return None
            if now >= end:
                return frozenset()
            self._awake.wait(min(pause, end - now))
            if now - self._heard > _BUSY_FOR:
                pause = min(pause * 1.5, _LAST_POLL)

    def wake(self) -> None:
        """End a ``wait``."""
        self._awake.set()

    def close(self) -> None:
        """Do nothing."""


class ServerSignals:
    """What a PostgreSQL server tells this process, over a connection of its own.

    :raises StoreUnavailableError: from any call: the connection is lost; make another.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.channel = f"ai_gpu_{uuid.uuid4().hex}"
        self._told: set[str] = set()
        self._wake_in, self._wake_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with store.typed_errors():
            self._connection = store.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
            driver: Any = self._connection.connection.driver_connection
            self._driver = driver
            self._connection.detach()  # held for long: the pool's connections stay for the others
            # one that arrives with the answer to a query is no longer on the socket
            driver.add_notify_handler(lambda notice: self._told.add(notice.payload))
            self._connection.exec_driver_sql(f'LISTEN "{self.channel}"')

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield the connection; every statement sees the newest state."""
        with self._store.typed_errors():
            yield self._connection

    def adopt(self, tickets: Collection[str]) -> None:
        """Have the grants of ``tickets`` told under this process's name."""
        with self._store.typed_errors():
            listen_for(self._connection, tickets, self.channel)

    def wait(self, seconds: float) -> frozenset[str] | None:
        """Wait until the server tells something."""
        if not self._told:
            poll = select.poll()
            poll.register(self._driver.fileno(), select.POLLIN)
            poll.register(self._wake_in, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
            if self._wake_in in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
            if self._driver.fileno() in ready:
                self._take_in()
        told, self._told = frozenset(self._told), set()
        return told

    def wake(self) -> None:
        """End a ``wait``."""
        with suppress(OSError):  # full: it wakes anyhow; closed: nobody waits
            os.write(self._wake_out, b"x")

    def close(self) -> None:
        """Close the connection."""
        with suppress(sa.exc.SQLAlchemyError):
            self._connection.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _take_in(self) -> None:
        import psycopg

        wire = self._driver.pgconn
        try:
            wire.consume_input()
            while notice := wire.notifies():
                self._told.add(notice.extra.decode())
        except psycopg.OperationalError as error:
            raise StoreUnavailableError(
                f"The store {self._store.safe_url} does not answer: {in_one_line(error)}.",
                remedy="Check that the database is up.",
            ) from error
