"""MIG profiles: what an instance of a partitioned card is called."""

from __future__ import annotations

import math
import re

_IN_NAME = re.compile(r"\bMIG (\d+c\.)?(\d+g\.\d+gb)((?:\+[a-z0-9.]+)*)\s*$", re.IGNORECASE)
_EIGHTHS = 8  # a card's memory is cut into at most that many parts


def profile_in(name: str) -> str | None:
    """Return the profile in a driver's name of an instance; None where there is none.

    ``"NVIDIA H100 80GB HBM3 MIG 1g.10gb"`` is ``1g.10gb``; a part of an instance's processors shows
    before it: ``1c.3g.40gb``.
    """
    found = _IN_NAME.search(name)
    return "".join(part or "" for part in found.groups()).lower() if found else None


def profile_of(
    *, gpu_slices: int, compute_slices: int, memory_mib: int, card_memory_mib: int
) -> str:
    """Return the profile of an instance by its size, as NVIDIA names it.

    The memory is that of the card, rounded up to whole GB, times the instance's eighths of it: an
    instance has a little less than its eighths.
    """
    eighths = math.ceil(memory_mib / card_memory_mib * _EIGHTHS)
    gigabytes = round(eighths / _EIGHTHS * math.ceil(card_memory_mib / 1024))
    part = "" if compute_slices == gpu_slices else f"{compute_slices}c."
    return f"{part}{gpu_slices}g.{gigabytes}gb"
