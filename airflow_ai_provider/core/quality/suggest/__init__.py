"""Proposing a suite: what was seen of data, and what may be expected of the next delivery."""

from __future__ import annotations
