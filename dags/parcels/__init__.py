"""Rules that score parcels; nothing is trained."""

from __future__ import annotations
