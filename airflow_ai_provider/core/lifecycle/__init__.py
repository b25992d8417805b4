"""The project plan, its phases, milestones and exit criteria."""

from __future__ import annotations
