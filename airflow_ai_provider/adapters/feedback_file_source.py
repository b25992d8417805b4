"""A file as a source of feedback: known by what it looked like, so that a change is noticed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.feedback_files import read_records
from airflow_ai_provider.core.errors import FeedbackSourceError, FeedbackSourceLostError
from airflow_ai_provider.core.feedback.source import (
    InPieces,
    Piece,
    Position,
    SourceRecord,
    pieces_of,
)

_EDGE = 64 * 2**10
_CHANGED = "Deliver changed feedback as a new file, or name this one: it is then read as it is now."


@dataclass(frozen=True)
class Look:
    """What a file looked like at a moment."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> Look | None:
        """Look at ``path``; None of what is no regular file (a pipe says nothing of itself)."""
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class FileSource:
    """A local file; ``watched`` when nobody named it, so that it may only have grown.

    :param name: its address, where that is another than the path.
    :param mapping: ours to theirs, for cells of CSV.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        mapping: Mapping[str, str] | None = None,
        watched: bool = False,
    ) -> None:
        self.path, self._mapping, self._watched = path, mapping, watched
        self._name = name or os.fsencode(path).decode("utf-8", "backslashreplace")
        self._seen: Look | None = None

    @property
    def name(self) -> str:
        """The file's address."""
        return self._name

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Yield every record: of a file that grew, those that were read are duplicates."""
        return InPieces(self._pieces(position))

    def _pieces(self, position: Position | None) -> Iterator[Piece]:
        try:
            self._seen = Look.at(self.path)
        except OSError:
            self._seen = None  # reading it says why
        if self._watched and position is not None:
            refuse_changed(self.path, self._name, position)
        yield from pieces_of(self.records())

    def records(self) -> Iterator[SourceRecord]:
        """Return what the file holds; a kind of file of its own overrides this."""
        return read_records(str(self.path), mapping=self._mapping)

    def position(self) -> Position | None:
        """Return what the file looks like.

        :raises FeedbackSourceLostError: not as it did when the reading began.
        """
        if self._seen is None:
            return None
        try:
            now = Look.at(self.path)
        except FileNotFoundError:
            now = None
        if now is None or now != self._seen:
            raise FeedbackSourceLostError(
                f"{self._name} changed while it was read; nothing of it was taken.",
                remedy="Try again when it is complete.",
                path=self._name,
            )
        return {"size": now.size, "mtime_ns": now.mtime_ns, **edges(self.path, now.size)}


def edges(path: Path, size: int) -> dict[str, str]:
    """Return hashes of the beginning and the end of the first ``size`` bytes of a file."""
    with path.open("rb") as stream:
        head = stream.read(min(size, _EDGE))
        stream.seek(max(0, size - _EDGE))
        tail = stream.read(min(size, _EDGE))
    return {"head": hashlib.sha256(head).hexdigest(), "tail": hashlib.sha256(tail).hexdigest()}


def unchanged(path: Path, position: Position) -> bool:
    """Whether a file is what it was at ``position``, without opening it."""
    look = Look.at(path)
    return look is not None and (look.size, look.mtime_ns) == (
        position.get("size"),
        position.get("mtime_ns"),
    )


def refuse_changed(path: Path, name: str, position: Mapping[str, Any]) -> None:
    """Refuse a file that is not what was read of it before, with more at its end at most.

    :raises FeedbackSourceError: it shrank, or what was read of it is other than it was.
    """
    size, before = path.stat().st_size, int(position["size"])
    if size < before:
        raise FeedbackSourceError(
            f"{name} shrank: {before} bytes of it were read, {size} are there.",
            remedy=_CHANGED,
            path=name,
        )
    if edges(path, before) != {"head": position["head"], "tail": position["tail"]}:
        raise FeedbackSourceError(
            f"{name} changed after it was read: it does not begin as it did.",
            remedy=_CHANGED,
            path=name,
        )
