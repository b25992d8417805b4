"""Kill a process at every boundary of what it does.

Nobody lists the boundaries: a first run counts them, before and after each call of a port and each
commit of the store, so a step that is added is killed at too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store


class Boundaries:
    """Counts the boundaries that are passed; at the one numbered ``die_at`` the process dies."""

    def __init__(self, die_at: int | None = None) -> None:
        self.die_at = die_at
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        if len(self.passed) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(name)


class WatchedPort:
    """A port with a boundary before and after each call that goes through it."""

    def __init__(self, port: Any, boundary: Boundaries) -> None:
        self._port, self._boundary = port, boundary

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._boundary(f"before {name}")
            result = found(*arguments, **named)
            self._boundary(f"after {name}")
            return result

        return call


class WatchedStore(Store):
    """A store with a boundary before, inside and after each transaction that writes."""

    boundary = Boundaries()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self.boundary("before write")
        with super().write() as connection:
            yield connection
            self.boundary("before commit")
        self.boundary("after commit")


def watched_store(url: str, boundary: Boundaries) -> Store:
    """Return the store at ``url``, watched."""
    store = WatchedStore(url)
    store.boundary = boundary
    return store


def in_a_process(do: Callable[[], Any]) -> int:
    """Run ``do`` in a process of its own; return 0, 1 for an error, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
