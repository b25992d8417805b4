"""How the Airflow of a test opens its own database: it waits where it would give up."""

from __future__ import annotations

PATIENT = {"timeout": 60}  # seconds; two busy cores are slower than what the default allows
