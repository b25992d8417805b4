"""Personal data in values: what it looks like, its checksums, and whether chance could be it."""

from __future__ import annotations
