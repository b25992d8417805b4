"""Feedback files on object storage: each a source, fetched while it is read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_ai_provider.adapters.feedback_file_source import FileSource
from airflow_ai_provider.adapters.feedback_folder import SETTLED, SUFFIXES, is_finished_name
from airflow_ai_provider.core.errors import FeedbackSourceLostError
from airflow_ai_provider.core.feedback.source import (
    FeedbackSource,
    InPieces,
    Piece,
    Position,
    SourceRecord,
    pieces_of,
)
from airflow_ai_provider.hooks._object_storage import copied, files_of, told_of, version_of, written
from airflow_ai_provider.hooks.quality import local_path
from airflow_ai_provider.services.feedback_files import local_sources
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_positions import read_positions

_DEED = ("read feedback from", "Check the path, and whether it arrived.")


class RemoteFile(FileSource):
    """A file of an object store."""

    def __init__(
        self,
        files: Any,
        path: str,
        *,
        name: str,
        folder: Path,
        mapping: Mapping[str, str],
        watched: bool = False,
    ) -> None:
        near = folder / uuid.uuid4().hex / PurePosixPath(path).name
        super().__init__(near, name=name, mapping=mapping, watched=watched)
        self._files, self._there = files, path
        self._stamp: dict[str, Any] = {}

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Fetch the file and yield every record of it."""
        return InPieces(self._fetched(position))

    def _fetched(self, position: Position | None) -> Iterator[Piece]:
        with told_of(self.name, *_DEED):
            copied(self._files, self._there, self.path)
            self._stamp = stamp(self._files, self._there)
        yield from pieces_of(super().read(position))

    def position(self) -> Position | None:
        """Return what the file looks like there.

        :raises FeedbackSourceLostError: not as it did when it was fetched.
        """
        near = super().position()
        self.path.unlink()
        with told_of(self.name, *_DEED):
            self._files.invalidate_cache(self._there.rpartition("/")[0])
            now = stamp(self._files, self._there)
        if now != self._stamp:
            raise FeedbackSourceLostError(
                f"{self.name} changed while it was read; nothing of it was taken.",
                remedy="Try again when it is complete.",
                path=self.name,
            )
        return {**(near or {}), **now}


def sources_of(
    store: Store, paths: Any, *, mapping: Mapping[str, str], folder: Path
) -> list[FeedbackSource]:
    """Return the files at ``paths``, local ones and any address of ``ObjectStoragePath``.

    A file that is named is always read; of a folder or a glob, those that are new and complete.
    Remote ones are fetched below ``folder``.
    """
    several = isinstance(paths, (list, tuple))
    found: list[FeedbackSource] = []
    for path in paths if several else [paths]:
        address = str(path)
        near = local_path(address)
        if near is not None:
            found += local_sources(store, [near], mapping=mapping)
        else:
            found += _remote(store, address, mapping, folder)
    return found


def stamp(files: Any, path: str) -> dict[str, Any]:
    """Return what a storage says by which a change of a file is noticed."""
    info = files.info(path)
    return {"size": info["size"], "version": version_of(info), "written": written(info)}


def _remote(
    store: Store, address: str, mapping: Mapping[str, str], folder: Path
) -> Iterator[RemoteFile]:
    with told_of(address, *_DEED):
        files, path, several = files_of(address)
        scheme = address.partition("://")[0]
        if several is None:
            yield RemoteFile(files, path, name=address, folder=folder, mapping=mapping)
            return
        inside = not any(sign in path for sign in "*?[")
        names = {
            f"{scheme}://{name}": name
            for name in several
            if is_finished_name(PurePosixPath(name).name)
            and (not inside or PurePosixPath(name).suffix.lower() in SUFFIXES)
        }
        known = read_positions(store, names)
        for name, there in names.items():
            found = stamp(files, there)
            position = known.get(name)
            if position is not None and all(position.get(k) == v for k, v in found.items()):
                continue
            if not _is_unsettled(files, found):
                yield RemoteFile(
                    files, there, name=name, folder=folder, mapping=mapping, watched=True
                )


def _is_unsettled(files: Any, found: Mapping[str, Any]) -> bool:
    if getattr(files, "async_impl", False):  # an object is there only when its upload is complete
        return False
    return bool(datetime.now(timezone.utc).timestamp() - found["written"] < SETTLED)
