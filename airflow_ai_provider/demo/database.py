"""How an Airflow of ours opens its SQLite database: it waits where it would give up."""

from __future__ import annotations

PATIENT = {"timeout": 60}  # seconds; of a busy machine the default of 5 may ask too much
