"""A limit on the time that a piece of work may take in this process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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

    rung = False

    def ring(_number: int, _frame: FrameType | None) -> None:
        nonlocal rung
        rung = True
        raise error

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Exception as other:
        if rung and other is not error:  # a library between put another in its place
            raise error from other
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            left = before - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))
