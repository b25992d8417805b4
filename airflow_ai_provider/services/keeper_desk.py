"""A desk with a thread of its own: what is slow or away holds up nothing but what lies there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Target = TypeVar("Target")


class Answers:
    """What the desks have done, for the keeper's own thread to hear; ``wake`` says that it came."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._done: queue.SimpleQueue[tuple[Callable[[Any], Any], Any]] = queue.SimpleQueue()

    def put(self, done: Callable[[Any], Any], result: Any) -> None:
        """Leave an answer; from any thread."""
        self._done.put((done, result))
        self._wake()

    def deliver(self) -> None:
        """Tell what came to those who asked."""
        while True:
            try:
                done, result = self._done.get_nowait()
            except queue.Empty:
                return
            done(result)


class ThreadDesk(Generic[Target]):
    """Does one thing after another in a thread; ``make`` makes what they are done to."""

    def __init__(self, name: str, make: Callable[[], Target], answers: Answers) -> None:
        self._name = name
        self._make = make
        self._answers = answers
        self._asked: queue.SimpleQueue[tuple[Callable[[Target], Any], Callable[[Any], Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def submit(self, action: Callable[[Target], Any], done: Callable[[Any], Any]) -> None:
        """Leave ``action``; its result, or its error, goes to ``done`` through the answers."""
        self._asked.put((action, done))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        target: Target | None = None
        while True:
            action, done = self._asked.get()
            try:
                if target is None:
                    target = self._make()
                result: Any = action(target)
            except Exception as error:  # noqa: BLE001 - told to who asked
                result = error
            self._answers.put(done, result)
