"""A limit on time that holds against what cannot be asked to stop."""

from __future__ import annotations

import re
import signal
import threading
import time
from contextlib import suppress

import pytest

from airflow_ai_provider.adapters.deadline import deadline

LATE = TimeoutError("late")


def forever() -> None:
    re.search("^(a+)+$", "a" * 40 + "!")


def stubborn() -> None:
    """Do as libraries that catch whatever goes wrong, and try again."""
    while True:
        with suppress(Exception):
            forever()


@pytest.mark.parametrize("work", [forever, stubborn])
def test_a_pattern_is_stopped(work: object) -> None:
    with pytest.raises(TimeoutError), deadline(0.2, LATE):
        work()  # type: ignore[operator]


def test_what_is_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with deadline(60, LATE):
        pass
    with pytest.raises(ValueError, match="its own"), deadline(60, LATE):
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_earlier_timer_keeps_its_time() -> None:
    rung: list[float] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    before = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with suppress(TimeoutError), deadline(0.1, LATE):
            forever()
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 0.2
        time.sleep(0.4)
        assert len(rung) == 1
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_another_thread_has_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with deadline(0.01, LATE):
            time.sleep(0.05)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
