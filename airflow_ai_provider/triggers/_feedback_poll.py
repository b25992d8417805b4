"""One poll per store for every trigger of this process that waits for feedback.

However many wait, there is one look per interval, the shortest that anybody asked for, and it is
one statement. What watchers keep is written before the look that follows.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_ai_provider.core.errors import AirflowAiError, StoreUnavailableError
from airflow_ai_provider.core.feedback.watching import Ask, Seen

if TYPE_CHECKING:
    from airflow_ai_provider.services.feedback_watch import FeedbackWatch
    from airflow_ai_provider.store.engine import Store

log = logging.getLogger(__name__)

GATHER = 0.1  # seconds: who begins at the same time is served by the same look
_polls: WeakKeyDictionary[Any, dict[str, FeedbackPoll]] = WeakKeyDictionary()


def poll_of(name: str, open_store: Callable[[], Store]) -> FeedbackPoll:
    """Return this event loop's poll of the store ``name``; made with the first who asks."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    if name not in polls:
        poll = FeedbackPoll(open_store)
        polls[name] = poll
        poll.over = lambda: polls.pop(name) if polls.get(name) is poll else None
    return polls[name]


class _Follower:
    def __init__(self, ask: Ask, interval: float) -> None:
        self.ask = ask
        self.interval = interval
        self.after: int | None = None  # the batch from which on news count
        self._found: Seen | BaseException = Seen()
        self._told = asyncio.Event()

    def tell(self, found: Seen | BaseException) -> None:
        self._found = found
        self._told.set()

    async def wait(self) -> Seen:
        await self._told.wait()
        self._told.clear()
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


class FeedbackPoll:
    """The poll of one store in one event loop; it lives while somebody follows it."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self.over: Callable[[], Any] = lambda: None  # nobody is to find it any more
        self._open_store = open_store
        self._store: Store | None = None
        self._watch: FeedbackWatch
        self._followers: list[_Follower] = []
        self._to_keep: dict[str, Mapping[str, Any]] = {}
        self._told: set[str] = set()  # what was told of meanwhile
        self._task: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()

    def keep(self, key: str, state: Mapping[str, Any], *, told: bool) -> None:
        """Keep the state of a watcher with the next look.

        By then Airflow has noted what was ``told``. Where there is no next look that is not known,
        so that the state stays as it was, and the same is told once more.
        """
        self._to_keep[key] = state
        if told:
            self._told.add(key)

    async def follow(
        self, ask: Ask, interval: float, *, position: Callable[[], int | None] = lambda: None
    ) -> AsyncGenerator[Seen, None]:
        """Yield what each look finds; ``position`` says from which batch on news count."""
        me = _Follower(ask, interval)
        self._followers.append(me)
        self._joined.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            while True:
                me.after = position()
                yield await me.wait()
                me.after = position()
        finally:
            self._followers.remove(me)
            if not self._followers and self._task is not None:
                self.over()
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        last = -math.inf
        try:
            await asyncio.sleep(GATHER)
            while self._followers:
                due = last + min(follower.interval for follower in self._followers)
                self._joined.clear()
                if due > clock():
                    with suppress(asyncio.TimeoutError):  # who joins may want it sooner
                        await asyncio.wait_for(self._joined.wait(), due - clock())
                    continue
                last = clock()
                await self._tell()
        finally:
            self.over()
            await asyncio.to_thread(self._close)

    async def _tell(self) -> None:
        asked = list(self._followers)
        looking = asyncio.to_thread(self._look, asked)
        (found,) = await asyncio.gather(looking, return_exceptions=True)
        if isinstance(found, StoreUnavailableError):
            log.warning("%s Looking again.", found)
            return
        for follower in asked:  # whatever else went wrong, they must not wait for ever
            follower.tell(found)

    def _look(self, asked: list[_Follower]) -> Seen:
        from airflow_ai_provider.services.feedback_watch import FeedbackWatch

        if self._store is None:
            self._store = self._open_store()
            self._watch = FeedbackWatch(self._store)
        self._save()
        after = [f.after for f in asked if f.ask.news and f.after is not None]
        asks = {follower.ask for follower in asked}
        return self._watch.look(asks, after=min(after, default=None))

    def _save(self) -> None:
        from airflow_ai_provider.store.feedback_watch import keep

        if self._store is not None and self._to_keep:
            states = dict(self._to_keep)
            keep(self._store, states)
            for key, state in states.items():
                if self._to_keep.get(key) is state:
                    del self._to_keep[key]
                    self._told.discard(key)

    def _close(self) -> None:
        for key in self._told:
            self._to_keep.pop(key, None)
        try:
            self._save()
        except AirflowAiError as error:
            log.warning("What watchers have seen is not kept: %s", error)
        if self._store is not None:
            self._store.close()
