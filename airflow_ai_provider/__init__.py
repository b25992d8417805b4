"""Run AI projects on Apache Airflow 3: GPU slots, gates, promotion, feedback and the life around them."""

from __future__ import annotations

__version__ = "0.1.0"
