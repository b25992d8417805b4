"""The pages in Airflow's navigation: rendered here, refreshed by one small script."""

from __future__ import annotations
