"""Working days: a plan is counted in them, people read dates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, timedelta

from airflow_ai_provider.core.errors import LifecycleError

_ONE = timedelta(days=1)
_FAR = 10_000  # working days; a plan that goes further is a mistake
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class WorkCalendar:
    """The days on which is worked, from ``start`` on.

    A place in a plan is a number of working days since the morning of the first working day on or
    after ``start``: 0 is that morning, 1 its evening. ``weekdays`` are 0 (Monday) to 6.
    """

    start: date
    weekdays: frozenset[int] = frozenset(range(5))
    holidays: frozenset[date] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if not self.weekdays or self.weekdays - set(range(7)):
            raise LifecycleError(
                "The weekdays of a calendar are wrong.", remedy="Name some of 0 to 6."
            )

    def is_working(self, day: date) -> bool:
        """Whether ``day`` is a working day."""
        return day.weekday() in self.weekdays and day not in self.holidays

    def morning(self, day: date) -> int:
        """Return the place of the morning of ``day``: the working days before it."""
        step, low, high = (1, self.start, day) if day >= self.start else (-1, day, self.start)
        whole, rest = divmod((high - low).days, 7)
        count = whole * len(self.weekdays)
        first = low + timedelta(days=7 * whole)
        count += sum((first + timedelta(days=n)).weekday() in self.weekdays for n in range(rest))
        free = sum(low <= h < high and h.weekday() in self.weekdays for h in self.holidays)
        return step * (count - free)

    def evening(self, day: date) -> int:
        """Return the place at which ``day`` is over."""
        return self.morning(day + _ONE)

    def starts(self, place: float) -> date:
        """Return the day on which work begins that begins at ``place``."""
        return self._day(math.floor(place + _ROUNDING))

    def ends(self, place: float) -> date:
        """Return the day on which work ends that ends at ``place``."""
        return self._day(math.ceil(place - _ROUNDING) - 1)

    def _day(self, number: int) -> date:
        """Return working day ``number``, the first being 0; what is before the first is the first.

        :raises LifecycleError: it is out of any plan's reach.
        """
        if number > _FAR:
            raise LifecycleError(
                f"The plan reaches {number} working days from {self.start}.",
                remedy="Check the estimates and the start of the project.",
            )
        # whole weeks first: holidays only make the day later than this
        day = self.start + timedelta(weeks=max(number, 0) // len(self.weekdays))
        left = max(number, 0) - self.morning(day)
        while left or not self.is_working(day):
            left -= self.is_working(day)
            day += _ONE
        return day
