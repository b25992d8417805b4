"""Windows of days as parts of the data: ``2013-06-01/2013-06-30``, both days included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from airflow_ai_provider.core.errors import FeedbackError


@dataclass(frozen=True, kw_only=True)
class Window:
    """Days from ``first`` to ``last``, in UTC."""

    first: date
    last: date

    @property
    def begin(self) -> datetime:
        """The moment at which it begins."""
        return datetime.combine(self.first, time(), timezone.utc)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), timezone.utc)


def read_window(partition: str | None) -> Window | None:
    """Return the window that a partition's name is; None when it is the name of a partition.

    :raises FeedbackError: the window ends before it begins.
    """
    begin, separator, end = (partition or "").partition("/")
    try:
        found = Window(first=date.fromisoformat(begin), last=date.fromisoformat(end))
    except ValueError:
        return None
    if not separator or len(begin) != 10 or len(end) != 10:
        return None
    if found.last < found.first:
        raise FeedbackError(
            f"The window {partition} ends before it begins.", remedy="Write FIRST/LAST."
        )
    return found
