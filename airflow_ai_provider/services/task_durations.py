"""Learn how long tasks take from what Airflow finished, and keep it where the scheduler looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from airflow_ai_provider.adapters.airflow_api import FinishedTask
from airflow_ai_provider.adapters.task_durations import DurationsFile

FIRST_LOOK = timedelta(days=14)
SETTLED = timedelta(minutes=1)  # an end is written after the clock was read for it
AT_ONCE = 20_000  # task instances that one call reads: 200 pages


class PastPort(Protocol):
    """What is needed of ``adapters.airflow_api.AirflowPast``."""

    def finished(self, *, since: str, until: str, most: int) -> Iterator[FinishedTask]: ...


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What one call learnt: runs that were read, tasks known now, and how far the past is read."""

    read: int
    dags: int
    tasks: int
    until: str


def learn_durations(
    file: DurationsFile, past: PastPort, *, now: datetime, most: int = AT_ONCE
) -> Learnt:
    """Add what finished since the last call to ``file``; the first call looks two weeks back.

    At most ``most`` task instances are read; the next call goes on where this one stopped. Each
    counts once: the file keeps the moment up to which it is complete, a minute behind ``now``.

    :raises TaskDurationsError: the file cannot be used or written.
    :raises AirflowApiError: Airflow does not answer, or does not let us; the file stays as it was.
    """
    known = file.read()
    since = known.until or (now - FIRST_LOOK).isoformat()
    until = (now - SETTLED).isoformat()
    found = list(past.finished(since=since, until=until, most=most))
    if len(found) >= most:
        last = found[-1].ended  # others may have ended in the same moment and be on the next page
        whole = [task for task in found if task.ended != last]
        if whole:
            found, until = whole, last
    runs = [(task.dag_id, task.task_id, task.seconds) for task in found]
    known = known.with_runs(runs, until=until)
    file.write(known)
    return Learnt(
        read=len(found),
        dags=len(known.of_dag),
        tasks=sum(map(len, known.of_dag.values())),
        until=until,
    )
