"""The evidence that was judged, each once, under the hash that decisions and approvals name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import canonical
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import evidence
from airflow_ai_provider.store.upsert import dialect_insert


class Evidences:
    """The evidence in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def keep(self, content: Mapping[str, Any]) -> str:
        """Store ``content`` under its hash and return that; the same again adds nothing."""
        text = canonical(content)
        found = hashlib.sha256(text).hexdigest()
        with self.store.write() as connection:
            row = {
                "hash": found,
                "content": text.decode(),
                "created_at": self.store.utcnow(connection),
            }
            insert = dialect_insert(connection, evidence).values(row)
            connection.execute(insert.on_conflict_do_nothing())
        return found

    def get(self, evidence_hash: str) -> dict[str, Any]:
        """Return the evidence with this hash.

        :raises EvidenceError: there is none, or it was changed after it was stored.
        """
        found = self.find(evidence_hash)
        if found is None:
            raise EvidenceError(
                f"There is no evidence {evidence_hash[:12]} in the store.",
                remedy="Pass the evidence_hash that a model gate returned.",
            )
        return found

    def find(self, evidence_hash: str) -> dict[str, Any] | None:
        """Return the evidence with this hash; None when it is not kept here.

        :raises EvidenceError: it was changed after it was stored.
        """
        statement = sa.select(evidence.c.content).where(evidence.c.hash == evidence_hash)
        with self.store.read() as connection:
            text = connection.execute(statement).scalar_one_or_none()
        if text is None:
            return None
        if hashlib.sha256(text.encode()).hexdigest() != evidence_hash:
            raise EvidenceError(
                f"The evidence {evidence_hash[:12]} was changed after it was stored.",
                remedy="Judge again: nothing can rest on it.",
            )
        found: dict[str, Any] = json.loads(text)
        return found
