"""What is left to Great Expectations, on the same data, with the reason of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_ai_provider.core.errors import QualityError, SuiteError
from airflow_ai_provider.core.quality.compiler import Leftover
from airflow_ai_provider.core.quality.report import GREAT_EXPECTATIONS, ExpectationResult
from airflow_ai_provider.core.quality.suite import Suite

DEFAULT_TIME = 3600.0  # seconds; longer than any honest statement of a gate

Found = tuple[ExpectationResult, Sequence[int] | None]


def not_compiled(suite: Suite, leftover: Leftover) -> SuiteError:
    """Return the error that the compiled engine alone cannot decide an expectation."""
    return suite.error(
        leftover.expectation,
        f"cannot be decided by the compiled engine: {leftover.reason}",
        'Use engine="auto", which leaves it to Great Expectations.',
    )


class Fallback:
    """The expectations that Great Expectations decides."""

    def __init__(
        self, suite: Suite, *, compiled_only: bool, time_limit: float = DEFAULT_TIME
    ) -> None:
        self._suite = suite
        self._compiled_only = compiled_only
        self._time_limit = time_limit
        self._leftovers: dict[int, Leftover] = {}
        self._built: dict[int, Any] = {}

    def add(self, leftover: Leftover) -> None:
        """Leave an expectation to it.

        :raises SuiteError: the caller asked for the compiled engine alone.
        """
        if self._compiled_only:
            raise not_compiled(self._suite, leftover)
        self._leftovers[leftover.expectation.index] = leftover

    def prepare(self) -> None:
        """Make Great Expectations' objects of what was added, which finds slips in it."""
        new = [v.expectation for i, v in self._leftovers.items() if i not in self._built]
        if new:
            from airflow_ai_provider.adapters import great_expectations

            self._built |= great_expectations.build(self._suite, new)

    def results(self, data: Callable[[], Any]) -> list[Found]:
        """Return each one's result and the numbers of its failing rows; ``data`` gives the data.

        :raises QualityError: it takes longer than the time limit.
        """
        if not self._leftovers:
            return []
        from airflow_ai_provider.adapters import great_expectations
        from airflow_ai_provider.adapters.deadline import deadline

        self.prepare()
        listed = ", ".join(v.expectation.label for v in list(self._leftovers.values())[:5])
        late = QualityError(
            f"Suite {self._suite.name}: Great Expectations took longer than "
            f"{self._time_limit:g} seconds for {listed}.",
            remedy="Look for a regular expression that runs forever, or raise time_limit.",
            suite=self._suite.name,
        )
        with deadline(self._time_limit, late):
            judged = great_expectations.validate(self._suite, self._built, data())
        return [
            (
                ExpectationResult(
                    expectation=one.expectation,
                    success=one.success,
                    result=one.result,
                    engine=GREAT_EXPECTATIONS,
                    reason=self._leftovers[one.expectation.index].reason,
                ),
                one.rows,
            )
            for one in judged
        ]
