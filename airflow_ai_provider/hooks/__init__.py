"""Airflow hooks: a connection in, a service out."""

from __future__ import annotations
