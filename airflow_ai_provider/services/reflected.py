"""A copy of a cluster's objects of one resource, kept up by a watch.

They are listed once and then watched; a watch that breaks off goes on from where it was, one that
is told 410 Gone lists again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, ClusterForbiddenError, ClusterGoneError

log = logging.getLogger(__name__)

_WATCH_FOR = 120  # seconds that the API server keeps a watch open
_RETRY, _RETRY_MOST = 0.5, 15.0

Events = Iterable[tuple[str, dict[str, Any]]]


class Reflected:
    """A copy of the objects of one resource, kept up by a thread of its own.

    ``address`` is that of the API server. It is run once.
    """

    def __init__(
        self,
        name: str,
        address: str,
        read: Callable[[dict[str, Any]], Any],
        lists: Callable[[], tuple[list[dict[str, Any]], str]],
        watches: Callable[[str, int], Events],
        changed: Callable[[], None],
        key: Callable[[dict[str, Any]], str] = lambda document: str(document["metadata"]["uid"]),
    ) -> None:
        self.name = name
        self.address = address
        self.is_stopped = False
        self._read, self._lists, self._watches = read, lists, watches
        self._changed = changed
        self._key = key
        self._lock = threading.Lock()
        self._found: dict[str, Any] | None = None
        self._listed = threading.Event()

    def all(self) -> list[Any] | None:
        """Return what is there; None before the first list."""
        with self._lock:
            return None if self._found is None else list(self._found.values())

    def get(self, key: str) -> Any:
        """Return one of them; None when it is not there, or nothing was listed yet."""
        with self._lock:
            return None if self._found is None else self._found.get(key)

    def wait(self, seconds: float) -> None:
        """Wait until the first list is there, or there will be none."""
        self._listed.wait(seconds)

    def run(self, is_over: Callable[[], bool]) -> None:
        """List and watch until ``is_over``."""
        with _running_lock:
            _running.add(self)
        try:
            self._run(lambda: self.is_stopped or is_over())
        finally:
            with _running_lock:
                _running.discard(self)
            with self._lock:
                self._found = None  # it is kept up no longer
            self._listed.set()

    def _run(self, is_over: Callable[[], bool]) -> None:
        version, pause = "", _RETRY
        while not is_over():
            try:
                if not version:
                    version = self._list()
                for what, document in self._watches(version, _WATCH_FOR):
                    version = document["metadata"]["resourceVersion"]
                    self._apply(what, document)
                    pause = _RETRY
                    if is_over():
                        return
            except ClusterGoneError:  # noqa: PERF203 - a watch lasts minutes
                version = ""
            except AirflowAiError as error:
                if is_over():
                    return
                if isinstance(error, ClusterForbiddenError):
                    version = ""  # who may list and not watch lists again and again
                    self._listed.set()  # who may not even list asks for each by itself
                log.warning("Looking at %s again in %.1f s: %s", self.name, pause, error)
                # a thousand processes must not come back at once
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(_RETRY_MOST, pause * 2)

    def _list(self) -> str:
        items, version = self._lists()
        with self._lock:
            self._found = {self._key(item): self._read(item) for item in items}
        self._listed.set()
        self._changed()
        return version

    def _apply(self, what: str, document: dict[str, Any]) -> None:
        if what == "BOOKMARK":
            return
        key = self._key(document)
        new = None if what == "DELETED" else self._read(document)
        with self._lock:
            found = self._found if self._found is not None else {}
            if found.get(key) == new:
                return  # heartbeats of nodes and the like
            if new is None:
                found.pop(key, None)
            else:
                found[key] = new
            self._found = found
        self._changed()


def stop_watching(address: str) -> None:
    """End what this process watches of a cluster that is no more; who asks again begins anew."""
    with _running_lock:
        for reflected in _running:
            if reflected.address == address:
                reflected.is_stopped = True


_running: set[Reflected] = set()
_running_lock = threading.Lock()
