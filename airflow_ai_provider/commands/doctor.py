"""``airflow-ai doctor``."""

from __future__ import annotations

from typing import Any


def register(subparsers: Any) -> None:
    """Add the command."""
