"""The library NVML in this process: found, initialised, its errors given a meaning.

A process initialises the library when it first asks and again after a fork, since what the parent
initialised is not the child's; it shuts down what it initialised when it ends. ``pynvml`` is
imported only where the library is there at all. Every error of the library has a meaning here:

- none of the library, or none of the driver: there are no GPUs (``Trouble.means_none``);
- library and driver of two versions, no permission, a timeout, an unknown error: nothing is known,
  and what was known stays;
- a card that is lost, that must be reset or that does not answer: that card is unhealthy;
- no such function (an old driver), not supported, no permission for one fact: it is not known.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import Any

from airflow_ai_provider.core.errors import GpuDriverError
from airflow_ai_provider.core.gpu.driver import Trouble

LIBRARY = "libnvidia-ml.so.1"
UNINITIALIZED = 1
_TROUBLES: dict[int | None, Trouble] = {
    4: Trouble.NO_PERMISSION,
    9: Trouble.NO_DRIVER,
    12: Trouble.NO_LIBRARY,
    18: Trouble.MISMATCH,
}
# "not supported", "no permission", "not found", "function not found", "no data", an argument or a
# version that this driver does not know, "deprecated": what was asked for is not known
NOT_KNOWN = frozenset({2, 3, 4, 6, 13, 21, 22, 25, 26})
LOST = frozenset({15, 16})  # "is lost", "reset required"


class Library:
    """``pynvml`` as this process may call it."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._nvml: Any = None

    def initialised(self) -> Any:
        """Return ``pynvml``, initialised in this process.

        :raises GpuDriverError: it cannot be.
        """
        if self._pid == os.getpid():
            return self._nvml
        try:
            ctypes.CDLL(LIBRARY)  # most machines have none, and need not import the next
        except OSError as error:
            raise silent(error, Trouble.NO_LIBRARY) from error
        pynvml = _imported()
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise silent(error) from error
        self._pid, self._nvml = os.getpid(), pynvml
        return pynvml

    def forget(self) -> None:
        """Begin anew at the next question."""
        if self._pid == os.getpid():
            with suppress(self._nvml.NVMLError):  # somebody may have shut it down already
                self._nvml.nvmlShutdown()
        self._pid = None


def _imported() -> Any:
    """Import ``pynvml`` and give back what that leaves unused: 11 of 18 MB, much for a keeper."""
    if "pynvml" in sys.modules:
        return sys.modules["pynvml"]
    import pynvml

    with suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
    return pynvml


def fact(nvml: Any, name: str, *args: Any) -> Any:
    """Return what the function ``name`` says; None where it cannot be known here.

    :raises NVMLError: the card or the driver is in trouble.
    """
    function = getattr(nvml, name, None)
    if function is None:  # this pynvml is older than the function
        return None
    try:
        return function(*args)
    except nvml.NVMLError as error:
        if error.value in NOT_KNOWN:
            return None
        raise


def silent(error: Exception, trouble: Trouble | None = None) -> GpuDriverError:
    """Return what ``error`` means for a host; it is an ``NVMLError`` unless ``trouble`` is said."""
    code = getattr(error, "value", None)
    if trouble is None:
        trouble = _TROUBLES.get(code, Trouble.NO_ANSWER)
    return GpuDriverError(
        trouble.sentence, remedy=trouble.remedy, trouble=trouble, detail=str(error), code=code
    )
