"""The store on its bare database driver, for the keeper: a few statements, a few megabytes.

It neither makes nor migrates anything. SQLite is written under the same file lock as in
``store.engine``; on PostgreSQL nothing waits for ever, since holders' lives hang on the answer.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from airflow_ai_provider.core.errors import (
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
    in_one_line,
)
from airflow_ai_provider.core.gpu.tenure import Visit
from airflow_ai_provider.store.gpu_keeping import (
    PASSED_TIMES,
    SERVER_TIMES,
    Execute,
    outlived,
    say,
    visit,
)

_ANSWER_WITHIN = 5  # seconds to connect, to wait for a lock
_PARAMETER = re.compile(r"(?<!:):(\w+)")
_FILE = "sqlite:///"


class LightLeases:
    """The leases of ``host`` in the store at ``url``, as its keeper reads and renews them."""

    def __init__(self, url: str, *, host: str, boot_id: str, ttl: float) -> None:
        self._host = host
        self._boot_id = boot_id
        self._ttl = ttl
        self._database = (
            _SqliteFile(Path(unquote(url[len(_FILE) :])))
            if url.startswith(_FILE)
            else _PostgresServer(url)
        )

    def visit(self, fences: Mapping[str, int]) -> Visit:
        """Renew ``fences`` and read what is live here; see ``store.gpu_keeping``.

        :raises StoreUnavailableError: the store does not answer.
        """
        times = PASSED_TIMES if isinstance(self._database, _SqliteFile) else SERVER_TIMES
        with self._database.write() as execute:
            return visit(
                execute, host=self._host, boot_id=self._boot_id, ttl=self._ttl, fences=fences,
                times=times, passed=self._database.passed(),
            )  # fmt: skip

    def say(self, lease_id: str, fence: int, reason: str) -> None:
        """Set what `gpu status` says of an active lease.

        :raises StoreUnavailableError: the store does not answer.
        """
        with self._database.write() as execute:
            say(execute, lease_id, fence, reason)

    def outlived(
        self, lease_id: str, fence: int, marks: Iterable[tuple[str, int]]
    ) -> frozenset[tuple[str, int, str]]:
        """Return which of ``marks`` are of leases that this one came after, with the device.

        :raises StoreUnavailableError: the store does not answer.
        """
        with self._database.write() as execute:
            return outlived(execute, lease_id, fence, marks, host=self._host, boot_id=self._boot_id)


class _SqliteFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def passed(self) -> dict[str, Any]:
        return {
            "clock": time.clock_gettime(time.CLOCK_BOOTTIME),
            "wall": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        }

    @contextmanager
    def write(self) -> Iterator[Execute]:
        if not self.path.exists():
            raise StoreNotFoundError(f"There is no store at {self.path}.")
        try:
            with self._locked(), closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield lambda sql, values: connection.execute(sql, values).fetchall()
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(
                f"The store {self.path} does not answer: {in_one_line(error)}."
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"The store {self.path} refused: {in_one_line(error)}.") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{self.path}?mode=rw", uri=True, isolation_level=None, timeout=_ANSWER_WITHIN
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class _PostgresServer:
    def __init__(self, url: str) -> None:
        self.url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        self._connection: Any = None

    def passed(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def write(self) -> Iterator[Execute]:
        import psycopg

        try:
            connection = self._connect(psycopg)
            with connection.transaction():
                yield lambda sql, values: connection.execute(
                    _PARAMETER.sub(r"%(\1)s", sql), values
                ).fetchall()
        except psycopg.OperationalError as error:
            self._connection = None
            raise StoreUnavailableError(
                f"The store does not answer: {in_one_line(error)}."
            ) from error
        except psycopg.DatabaseError as error:
            raise StoreError(f"The store refused: {in_one_line(error)}.") from error

    def _connect(self, psycopg: Any) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.url,
                autocommit=True,
                prepare_threshold=None,  # a pooler in front may know no prepared statements
                connect_timeout=_ANSWER_WITHIN,
                tcp_user_timeout=_ANSWER_WITHIN * 1000,
                options=f"-c lock_timeout={_ANSWER_WITHIN}s -c statement_timeout={_ANSWER_WITHIN}s",
            )
        return self._connection
