"""Drift: how far a column's values are from those of a reference."""

from __future__ import annotations
