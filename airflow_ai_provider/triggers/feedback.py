"""Wait for feedback without a worker slot, once for a task or again and again for an asset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_ai_provider.core.feedback.watching import Seen, Wanted, wanted_of
from airflow_ai_provider.triggers._feedback_poll import poll_of

if TYPE_CHECKING:
    from airflow_ai_provider.store.engine import Store

_WANTED = tuple(Wanted.__dataclass_fields__)


class FeedbackTrigger(BaseEventTrigger):
    """Fire when any one of what is waited for holds.

    For a task it fires once. In an ``AssetWatcher`` it goes on: whatever begins to hold is an event
    of the asset, and new records count from the last event on, over restarts too (the position is
    kept in the store)::

        watcher = AssetWatcher(
            name="feedback", trigger=FeedbackTrigger(model_name="m", new_records=500)
        )
        watched = Asset("ai-feedback://m", uri="ai-feedback://m", watchers=[watcher])

    The event is ``{"model_name", "partition", "records", "why", "batch"}``: the effective records,
    when they were asked for, a sentence for each thing that holds, and the newest batch. Feedback
    in Delta tables that the store knows counts too; while one cannot be read the trigger waits on.
    All triggers of a triggerer that wait on one store share one statement per interval. A triggerer
    that is killed may tell the same once more, never less.

    :param model_name: the model.
    :param partition: count only records of this partition.
    :param min_records: so many effective records in all; 1 when nothing else is waited for.
    :param new_records: so many records since the last event (of an asset).
    :param score_below: people's mean score (1 to 5) of ``score_days`` days is below this, with at
        least ``min_scores`` scores.
    :param queue_older_than: the oldest open exception has waited so many seconds.
    :param since_batch: for a task: new records count from after this batch; from when the trigger
        began to look unless said.
    :param not_before: fire no sooner than this, and once: Airflow fails a task that resumes while
        the worker that deferred it is still being reaped.
    :param poll_interval: seconds between two looks, at most.
    :param store_conn_id: the connection of the store.
    """

    def __init__(
        self,
        *,
        model_name: str,
        partition: str | None = None,
        min_records: int | None = None,
        new_records: int | None = None,
        score_below: float | None = None,
        score_days: float = 30.0,
        min_scores: int = 10,
        queue_older_than: float | None = None,
        since_batch: int | None = None,
        not_before: datetime | None = None,
        poll_interval: float = 10.0,
        store_conn_id: str = "ai_store_default",
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.partition = partition
        self.min_records = min_records
        self.new_records = new_records
        self.score_below = score_below
        self.score_days = score_days
        self.min_scores = min_scores
        self.queue_older_than = queue_older_than
        self.since_batch = since_batch
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.store_conn_id = store_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and what it was made with."""
        names = (*_WANTED, "since_batch", "not_before", "poll_interval", "store_conn_id")
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {name: getattr(self, name) for name in names},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again, together with all others; fire."""
        if self.not_before is not None:
            early = (self.not_before - datetime.now(timezone.utc)).total_seconds()
            await asyncio.sleep(max(0.0, early))
        wanted = self.wanted()
        events = self._once if self._is_of_task() else self._again
        async with aclosing(events(wanted)) as found:
            async for event in found:
                yield event

    def wanted(self) -> Wanted:
        """Return what is waited for.

        :raises FeedbackError: it means nothing.
        """
        return wanted_of({name: getattr(self, name) for name in _WANTED})

    def _is_of_task(self) -> bool:
        return self.not_before is not None or self.task_instance is not None

    async def _once(self, wanted: Wanted) -> AsyncGenerator[TriggerEvent, None]:
        state: dict[str, Any] = {}
        if self.since_batch is not None:
            state["batch"] = self.since_batch
        poll = poll_of(self.store_conn_id, self._open)
        asked = wanted.ask(None)
        looks = poll.follow(asked, self.poll_interval, position=lambda: state.get("batch"))
        async with aclosing(looks) as found:
            async for seen in found:
                if self._cannot_tell(wanted, seen):
                    continue
                if why := wanted.holds(seen, state):
                    yield self._event(wanted, seen, why)
                    return
                state.setdefault("batch", seen.last_batch)  # what is new is so from here on

    async def _again(self, wanted: Wanted) -> AsyncGenerator[TriggerEvent, None]:
        key = self._key(wanted)
        state: dict[str, Any] = {}
        poll = poll_of(self.store_conn_id, self._open)
        asked = wanted.ask(key)
        looks = poll.follow(asked, self.poll_interval, position=lambda: state.get("batch"))
        async with aclosing(looks) as found:
            async for seen in found:
                if self._cannot_tell(wanted, seen):
                    continue
                if not state and key in seen.kept:
                    state = dict(seen.kept[key])
                    if wanted.new_records is not None:
                        continue  # the next look brings what came in since
                why, now = wanted.step(seen, state)
                if now != state:
                    state = now
                    poll.keep(key, state, told=bool(why))
                if why:
                    yield self._event(wanted, seen, why)

    def _cannot_tell(self, wanted: Wanted, seen: Seen) -> bool:
        """Whether feedback that counts could not be read: the next look may."""
        error = wanted.unread(seen)
        if error is not None:
            self.log.warning("%s Looking again.", error)
        return error is not None

    def _event(self, wanted: Wanted, seen: Seen, why: dict[str, str]) -> TriggerEvent:
        records = seen.records(self.model_name, self.partition)
        self.log.info("%s: %s", self.model_name, " ".join(why.values()))
        return TriggerEvent(
            {
                "model_name": self.model_name,
                "partition": self.partition,
                "records": records if wanted.min_records is not None else None,
                "why": why,
                "batch": seen.last_batch,
            }
        )

    def _key(self, wanted: Wanted) -> str:
        from dataclasses import asdict

        from airflow_ai_provider.core.gate import digest

        return digest(asdict(wanted))

    def _open(self) -> Store:
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.store import open_store

        # the URL is not handed to this process: triggers of other stores live in it too
        return open_store(AiStoreHook(self.store_conn_id).get_address())
