"""NVIDIA's driver, asked through its management library NVML.

``adapters.nvml_library`` says what each of its errors means here.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from airflow_ai_provider.adapters import nvml_cards, nvml_processes
from airflow_ai_provider.adapters.nvml_events import XidWatch
from airflow_ai_provider.adapters.nvml_library import (
    LOST,
    NOT_KNOWN,
    UNINITIALIZED,
    Library,
    fact,
    silent,
)
from airflow_ai_provider.core.errors import GpuDriverError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.driver import DriverState
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.probe import Occupants

_Value = TypeVar("_Value")
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of the kernel


def sees_initial_pids() -> bool:
    """Whether this process is in the machine's first pid namespace, in which the driver counts."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _INITIAL_PID_NAMESPACE
    except OSError:
        return False


class NvmlDriver:
    """The port ``core.gpu.driver.Driver`` over NVML."""

    def __init__(self, *, sees_our_pids: Callable[[], bool] = sees_initial_pids) -> None:
        self._library = Library()
        self._watch = XidWatch()
        self._sees_our_pids = sees_our_pids
        self._lock = threading.RLock()
        self._pid = os.getpid()
        atexit.register(self.close)

    def look(self, *, host: str) -> tuple[Device, ...]:
        """Return the devices that can be leased; a ``PartialView`` if not all could be seen.

        :raises GpuDriverError: the driver tells nothing of this host.
        """
        return self._ask(lambda nvml: nvml_cards.look(nvml, host=host))

    def state(self) -> DriverState:
        """Return the driver's state.

        :raises GpuDriverError: the driver tells nothing of this host.
        """
        return self._ask(lambda nvml: nvml_cards.state(nvml, sees_our_pids=self._sees_our_pids()))

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults that cards reported since the last call; the first begins to listen.

        :raises GpuDriverError: the driver tells nothing of this host.
        """
        return self._ask(self._listen)

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device; ``adapters.nvml_processes`` says how far that is certain."""
        try:
            return self._ask(
                lambda nvml: nvml_processes.occupants(
                    nvml,
                    nvml.nvmlDeviceGetHandleByUUID(uuid),
                    sees_our_pids=self._sees_our_pids(),
                )
            )
        except GpuDriverError as error:
            return Occupants(
                is_certain=False, why_uncertain=f"{error.message} ({error.facts['detail']})"
            )

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy the device was of late; None of a MIG instance or a silent driver."""
        try:
            rates = self._ask(
                lambda nvml: fact(
                    nvml, "nvmlDeviceGetUtilizationRates", nvml.nvmlDeviceGetHandleByUUID(uuid)
                )
            )
        except GpuDriverError:
            return None
        return None if rates is None else float(rates.gpu)

    def close(self) -> None:
        """Shut down what this process initialised."""
        if self._pid == os.getpid():  # in a forked child another thread's lock stays locked
            with self._lock:
                self._forget()

    def _listen(self, nvml: Any) -> tuple[Fault, ...]:
        return self._watch.poll(nvml)

    def _ask(self, question: Callable[[Any], _Value]) -> _Value:
        """Return the answer; asked once more if somebody shut the library down beneath us."""
        with self._lock:
            self._pid = os.getpid()
            try:
                return self._once(question)
            except GpuDriverError as error:
                if error.facts.get("code") != UNINITIALIZED:
                    raise
                return self._once(question)

    def _once(self, question: Callable[[Any], _Value]) -> _Value:
        nvml = self._library.initialised()
        try:
            return question(nvml)
        except nvml.NVMLError as error:
            if error.value not in LOST | NOT_KNOWN:
                self._forget()  # a driver that was loaded anew, say, needs a new start
            raise silent(error) from error

    def _forget(self) -> None:
        self._watch = XidWatch()
        self._library.forget()
