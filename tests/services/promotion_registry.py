"""A registry in a SQLite file, for tests in which several processes move aliases.

As in MLflow an alias is last-write-wins: nothing here orders the promoters.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import RegistryNotFoundError
from airflow_ai_provider.core.promotion.registry import ModelVersion

_TABLES = """
CREATE TABLE IF NOT EXISTS version (name, version INTEGER, run_id, source, tags,
                                    PRIMARY KEY (name, version));
CREATE TABLE IF NOT EXISTS alias (name, alias, version, PRIMARY KEY (name, alias));
"""


class FileRegistry:
    """A registry with the port of ``core.promotion.registry``; each call is a transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._asking() as connection:
            connection.executescript(_TABLES)

    @property
    def address(self) -> str:
        return str(self.path)

    def aliases(self, name: str) -> dict[str, str]:
        with self._asking() as connection:
            found = connection.execute("SELECT alias, version FROM alias WHERE name = ?", [name])
            return dict(found.fetchall())

    def changed_at(self, name: str) -> str | None:
        """Nobody notes it here."""

    def get_version(self, name: str, version: str) -> ModelVersion:
        for found in self.find_versions(name):
            if found.version == version:
                return found
        raise RegistryNotFoundError(f"The registry does not know {name} {version}.")

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        with self._asking() as connection:
            rows = connection.execute(
                "SELECT version, run_id, source, tags FROM version WHERE name = ? "
                "AND (? IS NULL OR run_id = ?) ORDER BY version",
                [name, run_id, run_id],
            ).fetchall()
        return [
            ModelVersion(name=name, version=str(v), run_id=run, source=source, tags=json.loads(t))
            for v, run, source, t in rows
        ]

    def create_model(self, name: str) -> None:
        """A model is there as soon as it has a version."""

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        with self._asking() as connection:
            connection.execute(
                "INSERT INTO version SELECT ?, coalesce(max(version), 0) + 1, ?, ?, ? FROM version "
                "WHERE name = ?",
                [name, run_id, model_uri, json.dumps(dict(tags)), name],
            )
        return self.find_versions(name)[-1]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.get_version(name, version)
        with self._asking() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", [name, alias, version]
            )

    def delete_alias(self, name: str, alias: str) -> None:
        with self._asking() as connection:
            connection.execute("DELETE FROM alias WHERE name = ? AND alias = ?", [name, alias])

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        standing = self.get_version(name, version)
        with self._asking() as connection:
            connection.execute(
                "UPDATE version SET tags = ? WHERE name = ? AND version = ?",
                [json.dumps({**standing.tags, **tags}), name, version],
            )

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield connection


def tags_of(registry: Any, name: str, tag: str) -> dict[str, str]:
    """Return the versions that carry ``tag``, with its value."""
    found = registry.find_versions(name)
    return {v.version: v.tags[tag] for v in found if tag in v.tags}
