"""The environment path, model criteria and the decision."""

from __future__ import annotations
