"""A copy of a model version on another server: its description, its manifest, the port to servers.

A copy is known by its key, the digest of where it comes from: whoever makes it again finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from airflow_ai_provider.core.errors import ModelCopyError
from airflow_ai_provider.core.gate import digest

COPY_TAG = "airflow_ai.copy"  # the key; on the run and on the version
SOURCE_TAG = "airflow_ai.copied_from"
MANIFEST_TAG = "airflow_ai.manifest"  # the digest of the names and digests of all files
MODEL_FOLDER = "model"  # where the files lie under the run of a copy


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A version as its server knows it; ``files`` are paths under the model and their sizes."""

    address: str
    name: str
    version: str
    status: str
    run_id: str | None
    files: Mapping[str, int]
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of every copy of this version: one server's version is one thing for ever."""
        return digest([self.address, self.name, self.version, self.run_id])

    @property
    def told(self) -> str:
        """Where it comes from, for people."""
        return f"mlflow://{self.name}/{self.version} on {self.address}"


class ModelFiles(Protocol):
    """The runs and files of models on one server; errors as of ``ModelRegistry``."""

    def describe(self, name: str, version: str) -> ModelDescription:
        """Return what the server knows of a version."""

    def fetch(self, name: str, version: str, path: str, into: Path) -> None:
        """Write one file of a version to the file ``into``."""

    def find_copy(self, key: str) -> str | None:
        """Return the run that was started for the copy ``key``."""

    def start_copy(self, key: str, model: ModelDescription) -> str:
        """Start the run that will hold the copy ``key``, and return its id."""

    def log(self, run_id: str, model: ModelDescription) -> None:
        """Give the run the metrics and parameters of ``model``; again changes nothing."""

    def copied(self, run_id: str) -> Mapping[str, int]:
        """Return the files that the run holds, and their sizes."""

    def store(self, run_id: str, path: str, file: Path) -> None:
        """Store one file under the run."""

    def fetch_copied(self, run_id: str, path: str, into: Path) -> None:
        """Write one file of the run to the file ``into``."""

    def finish(self, run_id: str, tags: Mapping[str, str]) -> str:
        """End the run and return the address of the model in it."""


def manifest_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a whole model: of each file's path and SHA-256."""
    return digest(dict(sorted(digests.items())))


def safe_path(path: str) -> PurePosixPath:
    """Return ``path`` of a server's listing, which must stay under its folder.

    :raises ModelCopyError: it leads elsewhere.
    """
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts or "\0" in path:
        raise ModelCopyError(
            f"The server lists a file {path!r}, which is outside the model.",
            remedy="Look at the artifacts of the source version.",
            path=path,
        )
    return found
