"""The page about one gate's decision: what stands on it, its pictures, and its HTML."""

from __future__ import annotations
