"""The feedback record, live metrics and the retrain policy."""

from __future__ import annotations
