"""A limit on the time that a piece of work may take in this process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 1.0  # seconds after which the alarm rings again, where a library went on


class Rung(BaseException):
    """The time is up; not an ``Exception``, which libraries between catch and pass over."""


@contextmanager
def deadline(seconds: float, error: Exception) -> Iterator[None]:
    """Raise ``error`` out of what runs inside, when ``seconds`` are over.

    It is an alarm: Python's regular expressions, which hold the interpreter's lock, look for
    signals while they search, and nothing else stops one that runs forever. Signals reach the main
    thread alone; in another one there is no limit. A timer that was set before (pytest's, or
    Airflow's own for ``execution_timeout``) keeps its time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _ = signal.getitimer(signal.ITIMER_REAL)
    if before and before <= seconds:
        yield
        return

    rung = over = False

    def ring(_number: int, _frame: FrameType | None) -> None:
        nonlocal rung
        if not over:
            rung = True
            raise Rung

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
        over = True
    except BaseException as other:  # the alarm, or what a library between put in its place
        over = True
        if rung:
            raise error from other
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            left = before - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))
