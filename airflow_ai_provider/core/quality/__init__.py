"""Reading a suite, compiling it, and the report."""

from __future__ import annotations
