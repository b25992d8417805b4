"""Pure decisions: no Airflow, no input or output, no clock."""

from __future__ import annotations
