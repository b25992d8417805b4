"""The outside world, one module each, imported lazily."""

from __future__ import annotations
