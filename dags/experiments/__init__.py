"""What the training code of every pilot shares: one way to record a run in MLflow."""

from __future__ import annotations
