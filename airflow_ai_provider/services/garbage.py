"""Fewer rounds of Python's collector of cycles while many plain values come and go.

It runs by the number of objects made, and each round looks at what is alive: while a million
records are read that took as long as reading them, and there are no cycles in them to find.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 200_000  # objects made between two rounds, instead of hundreds
_lock = threading.Lock()
_before: list[tuple[int, int, int]] = []  # what held before, for each block that is under way


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let the collector run rarely until the block ends; blocks of several threads may overlap."""
    with _lock:
        found = gc.get_threshold()
        _before.append(_before[0] if _before else found)
        gc.set_threshold(_MANY, *found[1:])
    try:
        yield
    finally:
        with _lock:
            first = _before.pop()
            if not _before:
                gc.set_threshold(*first)
