"""Reusable pieces of a project's life."""

from __future__ import annotations
