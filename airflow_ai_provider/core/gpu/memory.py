"""Amounts of device memory, as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

from airflow_ai_provider.core.errors import GpuRequestError

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(iB|i|B)", re.ASCII)
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}
_MIB = 1024**2
_MOST_MIB = 1024**3  # a pebibyte: more is a slip


def parse_memory(value: Any) -> int:
    """Return ``"10GiB"`` in MiB, rounded up; ``GB`` is decimal, ``GiB`` and ``Gi`` are binary.

    :raises GpuRequestError: it is no such text, or not more than nothing.
    """
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise GpuRequestError(
            f"The memory {value!r} means nothing.", remedy='Write an amount such as "10GiB".'
        )
    number, prefix, unit = match.groups()
    base = 1000 if unit == "B" else 1024
    mib = math.ceil(float(number) * float(base ** _POWER[prefix]) / _MIB)
    if not 0 < mib <= _MOST_MIB:
        raise GpuRequestError(
            f"The memory {value!r} cannot be met by any device.",
            remedy='Write an amount such as "10GiB".',
        )
    return mib
