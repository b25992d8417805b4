"""A whole life of a project on a real Airflow, in minutes."""

from __future__ import annotations
