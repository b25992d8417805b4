"""The small file of task durations: written whole or not at all, read again when it changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import TaskDurationsError
from airflow_ai_provider.core.lifecycle.durations import TaskDurations

LOOK_EVERY = 1.0  # seconds
_MOST_BYTES = 64 * 2**20


class DurationsFile:
    """A file of task durations. One that is not there yet holds none."""

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._look_at = -1.0
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file is another than at the last call that said so; asked once a second.

        The answer costs no read: it goes by number, size and time of change of the file.
        """
        now = self._clock()
        if now < self._look_at:
            return False
        first, self._look_at = self._look_at < 0, now + LOOK_EVERY
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            stamp = None
        changed, self._stamp = stamp != self._stamp, stamp
        return changed or first

    def read(self) -> TaskDurations:
        """Return what the file holds.

        :raises TaskDurationsError: it is there and cannot be used.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
            return TaskDurations.of_document(json.loads(content))
        except FileNotFoundError:
            return TaskDurations()
        except (OSError, ValueError, RecursionError) as error:
            raise TaskDurationsError(
                f"The file of task durations {self.path} cannot be read: {error}.",
                remedy="Delete it; the next run of the maintenance task writes it anew.",
            ) from error

    def write(self, durations: TaskDurations) -> None:
        """Put ``durations`` in the place of what the file holds.

        :raises TaskDurationsError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as unfinished:
                unfinished.write_text(json.dumps(durations.document(), separators=(",", ":")))
        except OSError as error:
            raise TaskDurationsError(
                f"The file of task durations {self.path} cannot be written: {error}.",
                remedy="Check the setting durations_file of [ai_provider].",
            ) from error
