"""Run AI projects on Apache Airflow 3: GPU slots, gates, promotion, feedback, the whole life."""

from __future__ import annotations

__version__ = "0.1.0"
