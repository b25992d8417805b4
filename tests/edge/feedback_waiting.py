"""Feedback that comes in, and triggers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.triggers.feedback import FeedbackTrigger

NOW = datetime.now(timezone.utc)


class Said:
    """Feedback that comes in, each record a new one."""

    number = 0

    def __call__(self, store: Store, count: int = 1, **more: Any) -> None:
        rows = []
        for _ in range(count):
            self.number += 1
            document = {
                "feedback_id": f"f{self.number}",
                "model_name": "m",
                "observed_at": NOW,
                "label": 1,
                **more,
            }
            rows.append(row_of(parse(document)))
        FeedbackStore(store).write_batch([rows], [], sources=["x"])


def watch(**wanted: Any) -> FeedbackTrigger:
    return FeedbackTrigger(**{"model_name": "m", "poll_interval": 0.05, **wanted})


async def next_of(events: AsyncIterator[Any]) -> dict[str, Any]:
    return dict((await asyncio.wait_for(anext(events), 20)).payload)


async def silent(events: AsyncIterator[Any], seconds: float = 0.4) -> asyncio.Task[Any]:
    waiting = asyncio.ensure_future(anext(events))
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    assert not done
    return waiting


async def leave(waiting: asyncio.Task[Any]) -> None:
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
