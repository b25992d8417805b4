"""The pool as a command changes it."""

from __future__ import annotations

import argparse

from airflow_ai_provider.commands.output import open_store
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.gpu_turns import Turns


def turns_of(args: argparse.Namespace, *, create: bool = False) -> Turns:
    """Return the turns of the store that the command line names, with the pool's settings."""
    settings = GpuSettings.from_environment()
    return Turns(open_store(args, create=create), reserve_after=settings.reserve_after)
