"""When a lease has been idle too long: a warning first, then its end.

A device counts as busy from 1 % on, as its driver says. Where no driver says, the processor time of
the holder's processes stands for it: from 1 % of one core on, the lease is in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

BUSY_FROM = 1.0  # percent
LONGEST_WARNING = 60.0  # seconds


class Idle(str, Enum):
    """What a look at a lease with an ``idle_limit`` calls for."""

    IN_USE = "in_use"
    IDLE = "idle"
    WARN = "warn"
    END = "end"


@dataclass
class IdleWatch:
    """How long one lease has been idle; ``limit`` is in seconds."""

    limit: float
    idle_since: float
    warned: bool = False

    @property
    def warn_after(self) -> float:
        """Seconds of idleness that bring the warning: half of the limit, or 60 s before it."""
        return self.limit - min(self.limit / 2, LONGEST_WARNING)

    @property
    def look_every(self) -> float:
        """Seconds between looks: ten in the time to the warning, but no more than one a second."""
        return max(1.0, min(10.0, self.warn_after / 10))

    def look(self, now: float, *, is_busy: bool) -> Idle:
        """Note one look and return what it calls for; the warning is returned once."""
        if is_busy:
            self.idle_since, self.warned = now, False
            return Idle.IN_USE
        idle = now - self.idle_since
        if idle >= self.limit and self.warned:
            return Idle.END
        if idle >= self.warn_after and not self.warned:
            self.warned = True
            return Idle.WARN
        return Idle.IDLE


def is_busy(devices: Iterable[float | None], *, cpu_percent: float) -> bool:
    """Whether a lease is in use, by what its devices' drivers say and what its processes compute.

    ``cpu_percent`` is of one core, and counts only where a device has no figure of its own.
    """
    figures = list(devices)
    if any(figure is not None and figure >= BUSY_FROM for figure in figures):
        return True
    return None in figures and cpu_percent >= BUSY_FROM
