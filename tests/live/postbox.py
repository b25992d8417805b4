"""Who is told when a deadline is missed: each message is a line of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class Postbox(BaseNotifier):
    """Writes what it is told to a file, from the triggerer."""

    template_fields = ("message",)

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    async def async_notify(self, context: Any) -> None:
        write(self.message)

    def notify(self, context: Any) -> None:
        write(self.message)


async def tell(message: str, context: Any) -> None:
    """Write ``message`` with the run that it is about, from the triggerer."""
    tell_too(message, context)


def tell_too(message: str, context: Any) -> None:
    """Write ``message`` with the run that it is about, from an executor."""
    write(f"{message} {context['dag_run']['dag_run_id']}")


def write(line: str) -> None:
    with post().open("a") as file:
        file.write(f"{line}\n")


def post() -> Path:
    """Return the file, beside what the tasks of the stage log."""
    return Path(os.environ["LIVE_EVENTS"]).with_name("post.txt")
