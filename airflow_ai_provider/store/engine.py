"""The store: one database, opened by URL, with one way to read and one way to write.

SQLite serves one machine. Its writes, and so the checkpoints that a commit may run, happen under
one file lock: SQLite's own waiting is unfair (a writer among 64 was seen to starve for seconds) and
versions before 3.51.3 can corrupt the write-ahead log when a checkpoint meets a write. Readers
never take the lock. PostgreSQL is for more than one machine; there the server orders the writers.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from airflow_ai_provider.core.errors import (
    StoreError,
    StoreNotFoundError,
    StoreNotMigratedError,
    StoreUnavailableError,
    in_one_line,
)
from airflow_ai_provider.store.connecting import in_memory, let_go, make_engine, normal_url
from airflow_ai_provider.store.file_systems import MountTable, read_mounts, refuse_network

MEMORY_URL = "sqlite://"
_NEWS = "news"  # on a connection: its transaction grants or refuses what somebody waits for
_MOST_NEWS = 1 << 20
_DEADLOCK = frozenset({"40001", "40P01"})
_NO_SUCH_TABLE, _NO_SUCH_COLUMN = "42P01", "42703"  # PostgreSQL's names of these errors


class Store:
    """An open store.

    Cheap to make, safe to share between threads and to carry over a fork: the connections belong to
    the process that opened them.

    :param delta_options: what the storage of the Delta tables that it knows wants to know, beside
        the environment; secrets among it, so never log it.
    """

    def __init__(self, url: str, *, delta_options: Mapping[str, str] | None = None) -> None:
        self.url = sa.make_url(normal_url(url))
        self.delta_options = dict(delta_options or {})
        self._pid = -1
        self._engine: sa.Engine | None = None
        self._memory_lock = threading.RLock()
        self._engine_lock = threading.Lock()
        self._news = 0

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        mounts: MountTable = read_mounts,
        delta_options: Mapping[str, str] | None = None,
    ) -> Store:
        """Return the store at ``url``, its tables up to date.

        SQLite migrates itself; PostgreSQL does not, since several versions may share it. With
        ``create=False`` a SQLite file that is not there is an error.

        :raises StoreNotFoundError: no such file, or no such folder to make it in.
        :raises StoreNotMigratedError: the tables are of another version.
        :raises StoreUnavailableError: the database does not answer.
        :raises StoreError: the file is on a network file system.
        """
        from airflow_ai_provider.store.migrate import check, migrate

        store = cls(url, delta_options=delta_options)
        path = store.path
        if path is not None:
            refuse_network(path, mounts=mounts)
            if not create and not path.exists():
                raise StoreNotFoundError(
                    f"There is no store at {path}.",
                    remedy="Name another with --store, or make it: `airflow-ai store migrate`.",
                )
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreNotFoundError(
                    f"The folder of the store {path} cannot be made: {error.strerror}.",
                    remedy="Choose a folder that this user may write to.",
                ) from error
        if store.is_sqlite:
            store._use_write_ahead_log()
            migrate(store)
        else:
            check(store)
        return store

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite, which one host may use."""
        return self.url.get_backend_name() == "sqlite"

    @cached_property
    def path(self) -> Path | None:
        """The file of a SQLite store; None in memory and on a server."""
        return None if not self.is_sqlite or in_memory(self.url) else Path(str(self.url.database))

    @property
    def safe_url(self) -> str:
        """The URL without its password, for logs and errors."""
        return self.url.render_as_string(hide_password=True)

    @property
    def full_url(self) -> str:
        """The URL as it opens the store, password included: never log it."""
        return self.url.render_as_string(hide_password=False)

    @property
    def engine(self) -> sa.Engine:
        """This process's SQLAlchemy engine."""
        if self._engine is not None and self._pid == os.getpid():
            return self._engine
        if self._pid != os.getpid():
            self._engine_lock = threading.Lock()  # another thread of the parent may have held it
        with self._engine_lock:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)  # the parent's connections stay the parent's
                self._engine, self._pid = make_engine(self.url), os.getpid()
                # an engine lies in cycles of its own, and a server's connections are few
                gone = weakref.finalize(self, let_go, self._engine, self._pid)
                gone.atexit = False
            return self._engine

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one state of the store; nothing is written."""
        with self.typed_errors(), self._only_one_in_memory(), self.engine.connect() as connection:
            if not self.is_sqlite:
                yield connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                if self.path is not None:
                    connection.exec_driver_sql("BEGIN")
                yield connection

    @contextmanager
    def glance(self) -> Iterator[sa.Connection]:
        """Yield a connection outside any transaction: each statement sees the newest state."""
        with self.typed_errors(), self._only_one_in_memory(), self.engine.connect() as connection:
            if self.is_sqlite:
                yield connection
            else:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction: committed whole at the end, or not at all."""
        with (
            self.typed_errors(),
            self._only_one_in_memory(),
            self._file_lock() as lock,
            self.engine.connect() as connection,
        ):
            connection.info.pop(_NEWS, None)
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:  # whatever ended the block, nothing of it is kept
                connection.rollback()
                raise
            connection.commit()
            if connection.info.pop(_NEWS, False):
                self._tell_news(lock)

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Raise the database's errors as ours; one of integrity is the caller's to understand."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DBAPIError as error:
            raise _typed(self, error) from error

    def news_mark(self) -> int:
        """Return what differs once somebody committed news to this SQLite store.

        A commit of news makes the lock's file a byte longer. Who dies between the two leaves it as
        it was: whoever waits looks by itself now and then.
        """
        if self.path is None:
            return self._news
        try:
            return os.stat(f"{self.path}.lock").st_size  # noqa: PTH116 - asked often
        except FileNotFoundError:
            return 0

    def utcnow(self, connection: sa.Connection) -> datetime:
        """Return the database's wall clock, in UTC."""
        if self.is_sqlite:
            return datetime.now(timezone.utc)
        now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return now.astimezone(timezone.utc)

    def close(self) -> None:
        """Close this process's connections; the one in memory once nobody reads from it."""
        with self._only_one_in_memory():
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
            self._engine = None

    def _use_write_ahead_log(self) -> None:
        """Set the journal's mode once, under the lock: SQLite does not wait when two want to.

        SQLite is asked for the mode. To look into the file ourselves would let go of every lock
        that this process has on it, as soon as we closed it (POSIX): another process could take
        itself for the last one and delete the log that is in use (sqlite.org/howtocorrupt).
        """
        if self.path is None:
            return
        with self.typed_errors(), self.engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        if mode == "wal":
            return
        with self.typed_errors(), self._file_lock(), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def _tell_news(self, lock: int | None) -> None:
        self._news += 1
        if lock is None:
            return
        length = os.fstat(lock).st_size
        with suppress(OSError):  # a full disk; who waits looks by itself
            os.ftruncate(lock, 0 if length >= _MOST_NEWS else length + 1)

    @contextmanager
    def _file_lock(self) -> Iterator[int | None]:
        path = self.path
        if path is None:
            yield None
            return
        descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _only_one_in_memory(self) -> Iterator[None]:
        if self.is_sqlite and self.path is None:
            with self._memory_lock:
                yield
        else:
            yield


def mark_news(connection: sa.Connection) -> None:
    """Say that this transaction of a SQLite store is news to who waits (``Store.news_mark``)."""
    connection.info[_NEWS] = True


def _typed(store: Store, error: sa.exc.DBAPIError) -> StoreError:
    state, said = getattr(error.orig, "sqlstate", None), in_one_line(error.orig)
    if isinstance(error, sa.exc.OperationalError) or error.connection_invalidated:
        return StoreUnavailableError(
            f"The store {store.safe_url} does not answer: {said}.",
            remedy="Check that the database is up and that this user may write to it, "
            "then try again: a change is made whole or not at all.",
            deadlock=state in _DEADLOCK,
        )
    if state in {_NO_SUCH_TABLE, _NO_SUCH_COLUMN}:
        return StoreNotMigratedError(
            f"The store {store.safe_url} lacks a table or a column of this version: {said}.",
            remedy="Run `airflow-ai store migrate`.",
        )
    return StoreError(
        f"The store {store.safe_url} refused: {said}.",
        remedy="Run `airflow-ai doctor`; a file that is no database must be moved away.",
    )
