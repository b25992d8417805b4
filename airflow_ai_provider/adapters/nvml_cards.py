"""Cards and MIG instances as NVML tells of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_ai_provider.adapters.nvml_library import LOST, NOT_KNOWN, fact
from airflow_ai_provider.adapters.nvml_links import topologies
from airflow_ai_provider.core.gpu.devices import (
    Device,
    DeviceKind,
    Health,
    PartialView,
    Topology,
)
from airflow_ai_provider.core.gpu.driver import CardState, DriverState
from airflow_ai_provider.core.gpu.health import Symptoms, judge
from airflow_ai_provider.core.gpu.mig import profile_in, profile_of

_MIB = 2**20
_NO_PERMISSION = 4
_COMPUTE_MODES = {
    0: "default",
    1: "exclusive_thread",
    2: "prohibited",
    3: "exclusive_process",
}


@dataclass(frozen=True)
class Card:
    """A card that the driver gave a handle for."""

    uuid: str
    handle: Any


def look(nvml: Any, *, host: str) -> tuple[Device, ...]:
    """Return the devices of this host, a ``PartialView`` where a card does not tell of itself.

    Such a card, and its instances, are unhealthy until it does: with its handle its name may be
    unknown too. A card that this process may not use (it is another container's) is none.

    :raises NVMLError: the driver as a whole is in trouble.
    """
    cards, errors = find_cards(nvml)
    dumb = [("", error) for error in errors]
    spoke: list[tuple[Card, list[Device]]] = []
    for card in cards:
        found = _try(nvml, partial(_read, nvml, card, host))
        if isinstance(found, nvml.NVMLError):
            dumb.append((card.uuid, found))
        else:
            spoke.append((card, found))
    if dumb and not spoke and not any(error.value in LOST for _, error in dumb):
        raise dumb[0][1]
    joined = topologies(nvml, {card.uuid: card.handle for card, _ in spoke})
    devices = [device for card, found in spoke for device in _placed(card, found, joined)]
    if not dumb:
        return tuple(devices)
    why = "; ".join(f"{uuid or 'a card'}: {_sentence(error)}" for uuid, error in dumb)
    return PartialView(devices, missing=Health.UNHEALTHY, why=why)


def find_cards(nvml: Any) -> tuple[list[Card], list[Any]]:
    """Return the cards with a handle, and the errors of those without one.

    :raises NVMLError: the driver as a whole is in trouble.
    """
    found = [_try(nvml, partial(_card, nvml, index)) for index in range(nvml.nvmlDeviceGetCount())]
    errors = [f for f in found if isinstance(f, nvml.NVMLError) and f.value != _NO_PERMISSION]
    return [f for f in found if isinstance(f, Card)], errors


def instances(nvml: Any, card: Any) -> Iterator[Any]:
    """Yield the handles of the card's MIG instances."""
    for index in range(fact(nvml, "nvmlDeviceGetMaxMigDeviceCount", card) or 0):
        handle = fact(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", card, index)
        if handle is not None:
            yield handle


def is_partitioned(nvml: Any, card: Any) -> bool:
    """Whether MIG is on, so that not the card but only its instances can be used."""
    mode = fact(nvml, "nvmlDeviceGetMigMode", card)
    return mode is not None and mode[0] == nvml.NVML_DEVICE_MIG_ENABLE


def memory_of(nvml: Any, handle: Any) -> Any:
    """Return the memory, with what is ``reserved`` where the driver parts that from what is used.

    Drivers before 510 do not, and machines whose card shares the processor's memory tell none.
    """
    memory = fact(nvml, "nvmlDeviceGetMemoryInfo", handle, nvml.nvmlMemory_v2)
    return memory if memory is not None else fact(nvml, "nvmlDeviceGetMemoryInfo", handle)


def state(nvml: Any, *, sees_our_pids: bool) -> DriverState:
    """Return the driver's state; a card that does not tell of itself is left out."""
    states = [_try(nvml, partial(_state, nvml, card)) for card in find_cards(nvml)[0]]
    return DriverState(
        version=fact(nvml, "nvmlSystemGetDriverVersion") or "unknown",
        cards=tuple(s for s in states if isinstance(s, CardState)),
        sees_our_pids=sees_our_pids,
    )


def _try(nvml: Any, question: Callable[[], Any]) -> Any:
    """Return the answer, or the error with which the driver answered: the next card may do better.

    What stands for trouble of a moment is asked again once.
    """
    try:
        return question()
    except nvml.NVMLError as error:
        if error.value in LOST | NOT_KNOWN:
            return error
    try:
        return question()
    except nvml.NVMLError as error:
        return error


def _card(nvml: Any, index: int) -> Card:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    return Card(nvml.nvmlDeviceGetUUID(handle), handle)


def _state(nvml: Any, card: Card) -> CardState:
    persistence = fact(nvml, "nvmlDeviceGetPersistenceMode", card.handle)
    partitioned = is_partitioned(nvml, card.handle)
    return CardState(
        uuid=card.uuid,
        model=fact(nvml, "nvmlDeviceGetName", card.handle) or "",
        is_persistent=None if persistence is None else bool(persistence),
        is_partitioned=partitioned,
        instances=len(list(instances(nvml, card.handle))) if partitioned else 0,
    )


def _read(nvml: Any, card: Card, host: str) -> list[Device]:
    """Return the card, or its instances where MIG is on."""
    mode = _compute_mode(nvml, card.handle)
    health, reason = judge(_symptoms(nvml, card.handle, mode))
    whole = Device(
        uuid=card.uuid,
        host=host,
        kind=DeviceKind.GPU,
        model=fact(nvml, "nvmlDeviceGetName", card.handle) or "",
        **_memory(nvml, card.handle),
        health=health,
        reason=reason,
        compute_mode=mode,
    )
    if not is_partitioned(nvml, card.handle):
        return [whole]
    return [_instance(nvml, handle, whole) for handle in instances(nvml, card.handle)]


def _instance(nvml: Any, handle: Any, card: Device) -> Device:
    return Device(
        uuid=nvml.nvmlDeviceGetUUID(handle),
        host=card.host,
        kind=DeviceKind.MIG,
        model=card.model,
        **_memory(nvml, handle),
        mig_profile=_profile(nvml, handle, card),
        health=card.health,
        reason=card.reason,
        parent_uuid=card.uuid,
        compute_mode=card.compute_mode,
    )


def _profile(nvml: Any, handle: Any, card: Device) -> str | None:
    profile = profile_in(fact(nvml, "nvmlDeviceGetName", handle) or "")
    if profile is not None:
        return profile
    size = fact(nvml, "nvmlDeviceGetAttributes_v2", handle)
    if size is None or not card.memory_mib:
        return None
    return profile_of(
        gpu_slices=size.gpuInstanceSliceCount,
        compute_slices=size.computeInstanceSliceCount,
        memory_mib=size.memorySizeMB,
        card_memory_mib=card.memory_mib,
    )


def _placed(card: Card, devices: list[Device], joined: dict[str, Topology]) -> Iterator[Device]:
    for device in devices:
        place = joined[card.uuid]
        if device.kind is DeviceKind.MIG:  # an instance reaches no other card
            place = Topology(bus=place.bus)
        yield replace(device, topology=place)


def _symptoms(nvml: Any, card: Any, compute_mode: str | None) -> Symptoms:
    errors = fact(
        nvml,
        "nvmlDeviceGetTotalEccErrors",
        card,
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
    )
    rows = fact(nvml, "nvmlDeviceGetRemappedRows", card)
    return Symptoms(
        uncorrected_errors=errors,
        remapping_pending=None if rows is None else bool(rows[2]),
        remapping_failed=None if rows is None else bool(rows[3]),
        compute_mode=compute_mode,
    )


def _compute_mode(nvml: Any, card: Any) -> str | None:
    mode = fact(nvml, "nvmlDeviceGetComputeMode", card)
    return None if mode is None else _COMPUTE_MODES.get(mode, f"mode {mode}")


def _memory(nvml: Any, handle: Any) -> dict[str, Any]:
    """Return ``memory_mib`` and ``reserved_mib``; a part of a MiB that is reserved is one."""
    memory = memory_of(nvml, handle)
    if memory is None:
        return {"memory_mib": None}
    reserved = getattr(memory, "reserved", 0)
    return {"memory_mib": int(memory.total // _MIB), "reserved_mib": int(-(-reserved // _MIB))}


def _sentence(error: Any) -> str:
    if error.value in LOST | NOT_KNOWN:
        return str(error)
    return f"the driver does not tell of it ({error})"
