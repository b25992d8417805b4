"""Why a request waits: a name for programs, a sentence for people."""

from __future__ import annotations

from enum import Enum


class WaitReason(str, Enum):
    """Why a request waits; the value stands in the queue, the sentence is for people."""

    DEVICES_BUSY = "devices_busy"
    DEVICES_SUSPECT = "devices_suspect"
    DEVICES_UNHEALTHY = "devices_unhealthy"
    DEVICES_DRAINED = "devices_drained"
    DEVICES_QUARANTINED = "devices_quarantined"
    QUOTA_REACHED = "quota_reached"
    GUARANTEED_TO_ANOTHER = "guaranteed_to_another"
    RESERVED_FOR_ANOTHER = "reserved_for_another"
    NAMESPACE_QUOTA = "namespace_quota"
    NO_ROOM_ON_NODE = "no_room_on_node"
    PREEMPTED = "preempted"
    NODE_COMING = "node_coming"
    GANG_INCOMPLETE = "gang_incomplete"

    @property
    def sentence(self) -> str:
        """The reason in a sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    WaitReason.DEVICES_BUSY: "Too few devices that suit the request are free on any one host.",
    WaitReason.DEVICES_SUSPECT: (
        "Devices that would suit the request are held by a lease whose holder is gone or silent; "
        "they are handed on when its processes are known to be gone."
    ),
    WaitReason.DEVICES_UNHEALTHY: "Devices that would suit the request are not healthy.",
    WaitReason.DEVICES_DRAINED: (
        "Devices that would suit the request are drained: a person wants no new lease on them."
    ),
    WaitReason.DEVICES_QUARANTINED: (
        "Devices that would suit the request are quarantined: a process that nobody can name was "
        "found on them, and a person has to look."
    ),
    WaitReason.QUOTA_REACHED: (
        "Its team, project or phase already holds as many devices as its quota's ceiling lets it."
    ),
    WaitReason.GUARANTEED_TO_ANOTHER: (
        "Free devices would suit the request, but they are guaranteed to a team, project or phase "
        "that waits for them."
    ),
    WaitReason.RESERVED_FOR_ANOTHER: (
        "Free devices would suit the request, but they are kept for one that has waited longest, "
        "and this request is not known to end in time."
    ),
    WaitReason.NAMESPACE_QUOTA: (
        "The ResourceQuota of the pod's namespace leaves too little; it is asked for again when "
        "pods there have ended."
    ),
    WaitReason.NO_ROOM_ON_NODE: (
        "The scheduler found no room for the pod on the node of its devices; it went back to its "
        "place in the queue."
    ),
    WaitReason.PREEMPTED: (
        "Its pod was taken away for others; it went back to its place in the queue."
    ),
    WaitReason.NODE_COMING: "Its pod waits for a node that the cluster's autoscaler is to bring.",
    WaitReason.GANG_INCOMPLETE: (
        "It is one of several that are served together or not at all, and devices are not free "
        "for all of them."
    ),
}


def sentence(reason: str) -> str:
    """Return the value of a ``WaitReason`` as a sentence; any other text as it is."""
    try:
        return WaitReason(reason).sentence
    except ValueError:
        return reason or "It has not been planned yet."
