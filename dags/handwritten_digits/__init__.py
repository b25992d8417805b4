"""Which digit was written? A pilot whose data is public only."""

from __future__ import annotations
