"""The stand-in for an airline's data team: answers requests for deliveries, for the demo only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flight_delays.data import deliver_month, month_of, month_path, partition_of


def answer(
    requests: Iterable[Mapping[str, Any]], *, landing: Path, last: str, broken: Sequence[str]
) -> list[str]:
    """Deliver what ``requests`` ask for and return the months delivered now.

    ``{"after": "2013-04"}`` wants the month after it, once: asked again, nothing happens.
    ``{"again": ["2013-06"]}`` wants months repaired. The first delivery of a month in ``broken`` is
    spoiled. After ``last`` there is nothing to deliver.
    """
    delivered = []
    for request in requests:
        for partition in request.get("again", ()):
            deliver_month(partition, landing)
            delivered.append(partition)
        if "after" in request:
            month = month_of(request["after"]) + 1
            if month <= month_of(last) and not month_path(landing, month).exists():
                partition = partition_of(month)
                deliver_month(month, landing, broken=partition in broken)
                delivered.append(partition)
    return delivered
