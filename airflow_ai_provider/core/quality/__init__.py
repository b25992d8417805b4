"""The data gate's decisions: reading a suite, compiling it, judging what was measured."""

from __future__ import annotations
