"""The port to a model registry: the few calls that promotion makes, and what they return.

Every method raises ``RegistryUnavailableError`` when the registry does not answer,
``RegistryDeniedError`` when it does not let this user, ``RegistryNotFoundError`` when what is named
is not there, and ``RegistryError`` when it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version of a registered model.

    ``created_by`` and ``created_at`` are the registry's own words, ISO 8601 in UTC, None where it
    has none.
    """

    name: str
    version: str
    run_id: str | None = None
    source: str | None = None
    status: str = "READY"
    tags: Mapping[str, str] = field(default_factory=dict)
    created_by: str | None = None
    created_at: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its files are all there."""
        return self.status == "READY"


class ModelRegistry(Protocol):
    """A model registry."""

    @property
    def address(self) -> str:
        """Where it is, without secrets."""

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias of the model ``name``."""

    def changed_at(self, name: str) -> str | None:
        """Return when the registry last noted a change of the model, ISO 8601; None: it has none.

        MLflow notes a version that was made or deleted, and no alias that was moved.
        """

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Return the versions of the model, of one run when said, oldest first.

        Of a model that is not there, none.
        """

    def create_model(self, name: str) -> None:
        """Make the registered model ``name``; nothing happens when it is there."""

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the next version of the model ``name`` from ``model_uri``."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let ``alias`` name ``version``, whatever it named before."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Let ``alias`` name nothing; nothing happens when it does not."""

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""

    def artifact_digest(self, name: str, version: str) -> str:
        """Return the digest of the files of a version, as ``core.promotion.artifacts`` says.

        Every byte is read: sizes do not show that a file was changed.
        """
