"""Links from a task instance to what it works with."""

from __future__ import annotations
