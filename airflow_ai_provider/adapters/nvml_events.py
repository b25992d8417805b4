"""Xid events: what cards report when something breaks, read without waiting."""

from __future__ import annotations

import os
from typing import Any

from airflow_ai_provider.adapters.nvml_cards import find_cards, instances
from airflow_ai_provider.adapters.nvml_library import NOT_KNOWN, fact
from airflow_ai_provider.core.gpu.health import Fault, xid_reason

_TIMEOUT = 10
_MOST_AT_ONCE = 1000
_WHOLE_CARD = 0xFFFFFFFF


class XidWatch:
    """Listens to every card that reports events; what came before the first poll is not heard."""

    def __init__(self) -> None:
        self._set: Any = None
        self._pid: int | None = None
        self._heard: set[str] = set()

    def poll(self, nvml: Any) -> tuple[Fault, ...]:
        """Return the faults since the last poll; at once, also when there are none.

        :raises NVMLError: the driver is in trouble; the next poll listens anew.
        """
        try:
            return self._poll(nvml)
        except nvml.NVMLError:
            self._set = None  # it is part of what the library has to initialise anew
            raise

    def _poll(self, nvml: Any) -> tuple[Fault, ...]:
        if self._set is None or self._pid != os.getpid():
            self._set, self._pid = fact(nvml, "nvmlEventSetCreate"), os.getpid()
            self._heard = set()
        if self._set is None:
            return ()
        self._listen(nvml)
        faults: list[Fault] = []
        for _ in range(_MOST_AT_ONCE):
            try:
                event = nvml.nvmlEventSetWait_v2(self._set, 0)
            except nvml.NVMLError as error:
                if error.value == _TIMEOUT or error.value in NOT_KNOWN:
                    break
                raise
            fault = _fault(nvml, event)
            if fault is not None and fault not in faults:
                faults.append(fault)
        return tuple(faults)

    def _listen(self, nvml: Any) -> None:
        for card in find_cards(nvml)[0]:
            if card.uuid not in self._heard:
                fact(
                    nvml,
                    "nvmlDeviceRegisterEvents",
                    card.handle,
                    nvml.nvmlEventTypeXidCriticalError,
                    self._set,
                )
                self._heard.add(card.uuid)


def _fault(nvml: Any, event: Any) -> Fault | None:
    if event.eventType != nvml.nvmlEventTypeXidCriticalError:
        return None
    reason = xid_reason(event.eventData)
    if reason is None:
        return None
    try:
        return Fault(uuid=_uuid(nvml, event), reason=reason)
    except nvml.NVMLError:
        return Fault(uuid=None, reason=reason)  # nobody can say which: doubt them all


def _uuid(nvml: Any, event: Any) -> str:
    if _WHOLE_CARD not in {event.gpuInstanceId, event.computeInstanceId}:
        for handle in instances(nvml, event.device):
            ids = (
                fact(nvml, "nvmlDeviceGetGpuInstanceId", handle),
                fact(nvml, "nvmlDeviceGetComputeInstanceId", handle),
            )
            if ids == (event.gpuInstanceId, event.computeInstanceId):
                return str(nvml.nvmlDeviceGetUUID(handle))
    return str(nvml.nvmlDeviceGetUUID(event.device))
