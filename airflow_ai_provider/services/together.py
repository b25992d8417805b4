"""Work that many ask for at the same time, done in one go by one thread.

A request of a web server then costs no thread of its own, and no wait for its turn in one: the
thread takes all that came while it was at work, and gives every asker its own answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_Waiting = tuple[Any, "asyncio.Future[Any]"]


class Together(Generic[Asked, Answer]):
    """Does ``work`` for whoever asks; safe to share between event loops.

    :param work: gets what was asked for, and returns as many answers in the same order: an
        exception among them is raised to its asker, and one that it raises to all of them.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer | BaseException]]) -> None:
        self._work = work
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._busy = False

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer to what is asked."""
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((asked, future))
            if not self._busy:
                # not before: a server that forks would leave the thread behind
                self._thread = self._thread or ThreadPoolExecutor(1, "together")
                self._thread.submit(self._answer_all)
                self._busy = True
        answer: Answer = await future
        return answer

    def _answer_all(self) -> None:
        while True:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    self._busy = False
                    return
            try:
                answers = self._work([asked for asked, _ in waiting])
            except BaseException as error:  # noqa: BLE001 - raised for each who asked
                answers = [error] * len(waiting)
            told: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
            for (_, future), answer in zip(waiting, answers, strict=True):
                told.setdefault(future.get_loop(), []).append((future, answer))
            for loop, ours in told.items():
                if not loop.is_closed():  # as it is once a server stopped
                    loop.call_soon_threadsafe(partial(_tell, ours))


def _tell(told: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in told:
        if future.done():  # the asker is gone
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
