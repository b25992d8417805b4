"""The subcommands of the script ``airflow-ai``, one module per capability."""

from __future__ import annotations
