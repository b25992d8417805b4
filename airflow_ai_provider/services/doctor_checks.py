"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: whether it is good, what was seen, what to do."""

    name: str
    ok: bool
    message: str
    remedy: str | None = None
