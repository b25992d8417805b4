"""What somebody waits for in feedback, and whether one look at the store finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.feedback.window import read_window


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one waiter has to know of a model; ``key`` names what was kept of it."""

    model_name: str
    partition: str | None = None
    counts: bool = False
    score_days: float | None = None
    queue: bool = False
    news: bool = False
    key: str | None = None

    @property
    def reads(self) -> bool:
        """Whether the records themselves are looked at."""
        return self.counts or self.score_days is not None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look at the store found, for everybody who asked.

    ``counts`` are effective records by model and partition; ``scores`` are count and mean of
    people's scores by model and days; ``queues`` are open cases and seconds of the oldest by model;
    ``batches`` are ids with what each brought per model, ``last_batch`` is the newest of all;
    ``kept`` is what was kept by key; ``in_tables`` are models that have feedback outside the store,
    ``failed`` those of which it could not be read.
    """

    counts: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    scores: Mapping[tuple[str, float], tuple[int, float]] = field(default_factory=dict)
    queues: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    batches: Sequence[tuple[int, Mapping[str, int]]] = ()
    last_batch: int = 0
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_tables: Sequence[str] = ()
    failed: Mapping[str, FeedbackError] = field(default_factory=dict)

    def records(self, model_name: str, partition: str | None) -> int:
        """Return how many effective records a model has, in a partition if named."""
        return sum(
            number
            for (model, part), number in self.counts.items()
            if model == model_name and partition in {None, part}
        )

    def came_in(self, model_name: str, after: int) -> int:
        """Return how many records of a model came in with the batches after one."""
        return sum(news.get(model_name, 0) for batch, news in self.batches if batch > after)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is waited for: any one of these.

    :param min_records: so many effective records, in all (of the partition).
    :param new_records: so many that came in since the last time, stored or revised.
    :param score_below: people's mean score of the last ``score_days`` days is lower than this, of
        at least ``min_scores`` scores.
    :param queue_older_than: the oldest open exception has waited so many seconds.
    """

    model_name: str
    partition: str | None = None
    min_records: int | None = None
    new_records: int | None = None
    score_below: float | None = None
    score_days: float = 30.0
    min_scores: int = 10
    queue_older_than: float | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        limits = (self.min_records, self.new_records, self.score_below, self.queue_older_than)
        if all(limit is None for limit in limits):
            raise FeedbackError(
                "Nothing is waited for.",
                remedy="Give min_records, new_records, score_below or queue_older_than.",
            )
        if (self.new_records is not None and self.new_records < 1) or self.min_scores < 1:
            raise FeedbackError("new_records and min_scores are numbers from 1.")
        if read_window(self.partition) is not None:
            raise FeedbackError(
                f"{self.partition} is a window of days, which nothing is waited for in.",
                remedy="Name the partition as the records do, or none.",
            )

    def ask(self, key: str | None) -> Ask:
        """Return what has to be known; ``key`` is under what the state is kept, if it is."""
        return Ask(
            model_name=self.model_name,
            partition=self.partition,
            counts=self.min_records is not None,
            score_days=None if self.score_below is None else self.score_days,
            queue=self.queue_older_than is not None,
            news=self.new_records is not None,
            key=key,
        )

    def unread(self, seen: Seen) -> FeedbackError | None:
        """Return why the records that are asked about could not be read; None when they were."""
        return seen.failed.get(self.model_name) if self.ask(None).reads else None

    def holds(self, seen: Seen, state: Mapping[str, Any]) -> dict[str, str]:
        """Return what holds, by name, as a sentence each; ``state`` is what was kept last.

        :raises FeedbackError: the records that are asked about could not be read.
        """
        if (error := self.unread(seen)) is not None:
            raise error
        found = {}
        records = seen.records(self.model_name, self.partition)
        if self.min_records is not None and records >= self.min_records:
            found["min_records"] = f"{records:,} records are there, {self.min_records:,} wanted."
        if self.new_records is not None and "batch" in state:
            new = seen.came_in(self.model_name, int(state["batch"]))
            if new >= self.new_records:
                found["new_records"] = f"{new:,} records came in, {self.new_records:,} wanted."
        number, mean = seen.scores.get((self.model_name, self.score_days), (0, 0.0))
        if self.score_below is not None and number >= self.min_scores and mean < self.score_below:
            found["score_below"] = (
                f"The mean of {number:,} scores is {mean:.2f}, below {self.score_below:g}."
            )
        waiting, oldest = seen.queues.get(self.model_name, (0, 0.0))
        if self.queue_older_than is not None and waiting and oldest > self.queue_older_than:
            found["queue_older_than"] = (
                f"The oldest of {waiting:,} open exceptions has waited {oldest:,.0f} s."
            )
        return found

    def step(self, seen: Seen, state: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what began to hold since ``state`` was kept, and what to keep now.

        New records count from the batch that was newest the last time they were told of; whatever
        else holds is told of once, and again when it held no longer in between.
        """
        holding = self.holds(seen, state)
        before = set(state.get("holds", ()))
        begun = {n: s for n, s in holding.items() if n == "new_records" or n not in before}
        told = "new_records" in holding or "batch" not in state
        return begun, {
            "batch": seen.last_batch if told else state["batch"],
            "holds": sorted(set(holding) - {"new_records"}),
        }


def wanted_of(said: Mapping[str, Any]) -> Wanted:
    """Return what ``said`` waits for: one record, when it names no limit.

    :raises FeedbackError: it means nothing.
    """
    limits = ("min_records", "new_records", "score_below", "queue_older_than")
    if all(said.get(name) is None for name in limits):
        return Wanted(**{**said, "min_records": 1})
    return Wanted(**said)
