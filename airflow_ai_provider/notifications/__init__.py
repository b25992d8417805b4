"""Telling people: Airflow's own alerts, set by a project."""

from __future__ import annotations
