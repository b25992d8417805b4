"""Values that lie too many standard deviations from their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_ai_provider.core.quality.check import (
    RELATION,
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    exact,
    inexact,
    judge_rows,
    need,
)
from airflow_ai_provider.core.quality.sql import Family
from airflow_ai_provider.core.quality.suite import Expectation

CLOSE = 1e-9  # a score so near to the threshold may be on its other side elsewhere
TOO_CLOSE = "a score is too close to the threshold"
_HUGE = 1e150  # the square of more is no number


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """How far a value may lie from the mean, above it or (``double``) on either side."""

    limit: float
    double: bool

    @classmethod
    def of(cls, e: Expectation) -> Threshold:
        """Return what ``e`` says.

        :raises NotCompiledError: it is of another kind.
        """
        threshold, double = e.kwargs["threshold"], e.kwargs["double_sided"]
        if not isinstance(threshold, (int, float)) or not isinstance(double, bool):
            raise NotCompiledError("threshold or double_sided is of another kind")
        return cls(limit=abs(float(threshold)) if double else float(threshold), double=double)


class _Scores:
    """The scores of a column: what is read first, and what when mean and deviation are known."""

    def __init__(self, e: Expectation, schema: Schema) -> None:
        self.column, self.rows = schema.column(e, e.kwargs["column"]), schema.rows
        need(self.column, Family.INTEGER, Family.FLOAT)
        self._expectation, self._threshold = e, Threshold.of(e)
        value = self.rows.of(self.column.sql)
        double = f"{value}::DOUBLE" if self.rows.condition is None else value
        usable = f"abs({self.column.sql}::DOUBLE) < {_HUGE}"
        self._present, self._largest = f"count({value})", f"max(abs(({double})::DOUBLE))"
        self._mean = f"avg({self.rows.of(self.column.sql, usable)})"
        self._deviation = f"stddev_samp({self.rows.of(self.column.sql, usable)})"
        self._read = f"scores {e.index}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The first figures."""
        first = (self.rows.count, self._present, self._largest, self._mean, self._deviation)
        return (*first, *exact([self.column]))

    def more(self, facts: Facts) -> Mapping[str, str]:
        """Return the statement that counts the scores beyond the threshold, and those near it."""
        score = self._score(facts)
        if score is None or facts[self._largest] >= _HUGE:
            return {}
        low, high = self._threshold.limit - CLOSE, self._threshold.limit + CLOSE
        near = f"({score} BETWEEN {low!r}::DOUBLE AND {high!r}::DOUBLE)"
        figures = ", ".join(self.rows.where(found) for found in (self._beyond(score), near))
        return {self._read: f"SELECT {figures} FROM {RELATION}"}  # noqa: S608

    def judge(self, facts: Facts) -> Outcome:
        """Return whether enough values lie near enough."""
        scale, spread = facts[self._largest] or 0.0, facts[self._deviation] or 0.0
        considered = facts[self._present]
        if why := inexact(facts, [self.column]):
            return Outcome(unsure=why)
        if scale >= _HUGE or (spread <= 1e-9 * scale and considered > 1 and scale):
            return Outcome(
                unsure=f"column {self.column.name} holds huge or hardly differing values"
            )
        unexpected, near = facts[self._read][0] if self._read in facts else (0, 0)
        if near:
            return Outcome(unsure=TOO_CLOSE)
        total = facts[self.rows.count]
        return judge_rows(
            self._expectation, total=total, considered=considered, unexpected=unexpected
        )

    def failing_by(self, facts: Facts) -> str | None:
        """Return the predicate of the rows that lie too far away."""
        score = self._score(facts)
        return self.rows.both(self._beyond(score)) if score else None

    def _score(self, facts: Facts) -> str | None:
        spread = facts[self._deviation]
        if not spread:
            return None
        score = f"(({self.column.sql} - {facts[self._mean]!r}::DOUBLE) / {spread!r}::DOUBLE)"
        return f"abs{score}" if self._threshold.double else score

    def _beyond(self, score: str) -> str:
        there = f"{self.column.sql} IS NOT NULL"
        return f"({there} AND NOT ({score} < {self._threshold.limit!r}::DOUBLE))"


def z_scores(e: Expectation, schema: Schema) -> Check:
    """Every value lies fewer standard deviations from the mean than the threshold."""
    scores = _Scores(e, schema)
    return Check(
        expectation=e,
        reads=scores.reads,
        judge=scores.judge,
        more=scores.more,
        failing_by=scores.failing_by,
        shown=(scores.column,),
        sample=Sample.VALUE,
    )


Z_SCORES: dict[str, Compile] = {"expect_column_value_z_scores_to_be_less_than": z_scores}
