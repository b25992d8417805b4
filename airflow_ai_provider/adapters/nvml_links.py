"""How the cards of a host are joined: NVLink, and the ancestors that they share on the bus.

The planner only prefers one card over another by this: whatever the driver does not tell is left
out.
"""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.adapters.nvml_library import fact
from airflow_ai_provider.core.gpu.devices import Topology

_LEVELS = {
    0: "internal",
    10: "single",
    20: "multiple",
    30: "hostbridge",
    40: "node",
    50: "system",
}
_TO_A_CARD, _TO_A_PROCESSOR = 0, 1
_SWITCH = "switch"
_Bus = tuple[int, int, int]


def topologies(nvml: Any, cards: dict[str, Any]) -> dict[str, Topology]:
    """Return where each of ``cards`` (handles by UUID) sits, and what it is joined to.

    Cards that are joined to an NVLink switch are joined to one another.
    """
    places = {uuid: _told(nvml, "nvmlDeviceGetPciInfo", handle) for uuid, handle in cards.items()}
    at = {_bus(place): uuid for uuid, place in places.items() if place is not None}
    ends = {uuid: _ends(nvml, handle, at) for uuid, handle in cards.items()}
    switched = {uuid for uuid, found in ends.items() if _SWITCH in found}
    return {
        uuid: Topology(
            bus="" if places[uuid] is None else places[uuid].busId,
            nvlink=tuple(
                sorted((ends[uuid] | (switched if uuid in switched else set())) - {uuid, _SWITCH})
            ),
            near=_near(nvml, uuid, cards),
        )
        for uuid in cards
    }


def _ends(nvml: Any, card: Any, at: dict[_Bus, str]) -> set[str]:
    """Return which cards, or ``_SWITCH``, are at the other ends of the card's active links."""
    found: set[str] = set()
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        active = _told(nvml, "nvmlDeviceGetNvLinkState", card, link)
        if active is None:  # it has no such link, and none after it
            break
        remote = _told(nvml, "nvmlDeviceGetNvLinkRemotePciInfo", card, link) if active else None
        if remote is None:
            continue
        kind = _told(nvml, "nvmlDeviceGetNvLinkRemoteDeviceType", card, link)
        if _bus(remote) in at:
            found.add(at[_bus(remote)])
        elif kind not in {_TO_A_CARD, _TO_A_PROCESSOR}:  # a card that is not ours is none
            found.add(_SWITCH)
    return found


def _near(nvml: Any, uuid: str, cards: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    levels = {
        other: _told(nvml, "nvmlDeviceGetTopologyCommonAncestor", cards[uuid], handle)
        for other, handle in cards.items()
        if other != uuid
    }
    return tuple(
        (other, _LEVELS[level]) for other, level in sorted(levels.items()) if level in _LEVELS
    )


def _told(nvml: Any, name: str, *args: Any) -> Any:
    try:
        return fact(nvml, name, *args)
    except nvml.NVMLError:
        return None


def _bus(place: Any) -> _Bus:
    return (place.domain, place.bus, place.device)
