"""Evidence is kept once, under a hash that it must still have."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.promotion.evidence import evidence_hash
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.evidence import Evidences
from airflow_ai_provider.store.schema import evidence

CONTENT = {"model_name": "m", "costs": {"p95_ms": 1.5}, "slices": ["carrier"], "lost": float("nan")}


def test_the_same_evidence_is_kept_once(store: Store) -> None:
    kept = Evidences(store)
    found = kept.keep(CONTENT)
    assert found == evidence_hash(CONTENT)
    assert kept.keep(dict(reversed(CONTENT.items()))) == found
    assert kept.get(found) == {**CONTENT, "lost": "nan"}
    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(evidence)).scalar() == 1


def test_what_is_not_there_or_was_changed_is_refused(store: Store) -> None:
    kept = Evidences(store)
    found = kept.keep(CONTENT)
    with pytest.raises(EvidenceError, match="There is no evidence 000000000000"):
        kept.get("0" * 64)
    with store.write() as connection:
        connection.execute(evidence.update().values(content='{"model_name": "n"}'))
    with pytest.raises(EvidenceError, match="was changed after it was stored"):
        kept.get(found)
