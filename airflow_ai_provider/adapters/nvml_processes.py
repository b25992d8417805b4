"""Who is on a device, as NVML lists them.

The driver counts pids in the machine's first pid namespace. A process in another one (a container
without the host's pids) cannot tell whom the list means, nor does every driver show it the whole
list; there, the only certain answer is that nobody is: an empty list while hardly any memory is
used, which also needs a driver that parts used from reserved memory (510 and later).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.nvml_cards import memory_of
from airflow_ai_provider.adapters.nvml_library import NOT_KNOWN
from airflow_ai_provider.core.gpu.probe import Occupants

NEARLY_NOTHING = 64 * 2**20  # bytes that an idle device may have in use
_NOT_SUPPORTED, _TOO_SMALL, _NO_FUNCTION = 3, 7, 13
_KINDS = ("Compute", "Graphics", "MPSCompute")
# These serve whoever uses the card, are there before and after, and keep nobody's memory: the
# server of MPS (its clients are listed themselves) and those who draw the screen.
_SERVERS = frozenset(
    {
        "nvidia-cuda-mps", "Xorg", "X", "Xwayland", "gnome-shell", "kwin_x11", "kwin_wayland",
        "mutter", "weston", "sway",
    }
)  # fmt: skip


def occupants(nvml: Any, device: Any, *, sees_our_pids: bool) -> Occupants:
    """Return the processes on ``device``, a handle, and whether that is certain.

    :raises NVMLError: the card or the driver is in trouble.
    """
    try:
        pids = set().union(*(_listed(nvml, kind, device) for kind in _KINDS))
    except nvml.NVMLError as error:
        if error.value not in NOT_KNOWN:
            raise
        return Occupants(
            is_certain=False,
            why_uncertain=f"The driver does not list the device's processes ({error}).",
        )
    if sees_our_pids:
        return Occupants(pids=frozenset(pid for pid in pids if not _is_server(pid)))
    return _from_another_namespace(nvml, device, len(pids))


def _listed(nvml: Any, kind: str, device: Any) -> set[int]:
    """Return the pids of one list, of its second version where the driver has no third."""
    name = f"nvmlDeviceGet{kind}RunningProcesses"
    try:
        try:
            found = _whole(nvml, getattr(nvml, f"{name}_v3"), device)
        except nvml.NVMLError as error:
            if error.value != _NO_FUNCTION:
                raise
            found = _whole(nvml, getattr(nvml, f"{name}_v2"), device)
    except nvml.NVMLError as error:
        # every card that computes lists who does; not every one draws or shares by MPS
        if error.value in {_NOT_SUPPORTED, _NO_FUNCTION} and kind != "Compute":
            return set()
        raise
    return {int(process.pid) for process in found}


def _whole(nvml: Any, call: Callable[[Any], list[Any]], device: Any) -> list[Any]:
    """Return a list that grew, maybe, between the two calls that it takes."""
    try:
        return call(device)
    except nvml.NVMLError as error:
        if error.value != _TOO_SMALL:
            raise
    return call(device)


def _from_another_namespace(nvml: Any, device: Any, listed: int) -> Occupants:
    why = "The driver counts processes in the machine's first pid namespace, not in this one"
    if listed:
        return Occupants(is_certain=False, why_uncertain=f"{why}; it lists {listed}.")
    memory = memory_of(nvml, device)
    if memory is None or not hasattr(memory, "reserved"):
        return Occupants(
            is_certain=False, why_uncertain=f"{why}, and does not tell how much memory is used."
        )
    if memory.used < NEARLY_NOTHING:
        return Occupants()
    return Occupants(
        is_certain=False,
        why_uncertain=f"{why}; it lists none, but {memory.used // 2**20} MiB are used.",
    )


def _is_server(pid: int) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    return name in _SERVERS
