"""What a device's driver says about who is on it: the port that the keeper asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Occupants:
    """The processes that a device's driver lists, with pids of this host.

    ``is_certain`` is false where the list cannot be believed: the driver does not answer, or its
    pids are not those that this process sees (another pid namespace). Unknown is not empty.
    """

    pids: frozenset[int] = frozenset()
    is_certain: bool = True
    why_uncertain: str = ""


class DeviceProbe(Protocol):
    """Asks the drivers of this host; implemented by ``adapters.nvml`` and by fakes."""

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device; of one that no driver reports, nobody, for certain."""
        ...

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy the device was of late, 0 to 100; None where no driver says."""
        ...
