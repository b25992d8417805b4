"""Prompts take the way of models: judged by people, promoted, refused, rolled back, on MLflow."""

from __future__ import annotations

import json

import pytest

from airflow_ai_provider.adapters.mlflow import RegistrySettings, open_registry
from airflow_ai_provider.core.errors import PromotionError
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.promotion import (
    PromotionOrder,
    RollbackOrder,
    StoreLife,
    history,
    judge,
    promote,
    roll_back,
)
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import memory_store

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROMPT = "summarise"
CRITERIA = [{"kind": "human_score", "min": 3.5, "min_answers": 5, "bound": "lower"}]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry with three versions of a prompt."""
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('prompts') / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    for words in ("in one sentence", "in three sentences", "at any length"):
        client.register_prompt(PROMPT, f"Summarise {{{{ text }}}} {words}.")
    return open_registry(RegistrySettings(tracking_uri=uri))


def scored(store, tmp_path, version, *scores):
    path = tmp_path / f"scores-{version}.jsonl"
    records = [
        {
            "feedback_id": f"{version}:{number}",
            "model_name": PROMPT,
            "model_version": version,
            "observed_at": "2026-01-01T00:00:00Z",
            "score": score,
        }
        for number, score in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert FeedbackService(store).ingest(path).stored == len(scores)


def test_one_prompt_goes_on_one_is_refused_one_is_rolled_back(registry, tmp_path):
    store = memory_store()
    ledger, promotions = Ledger(store), Promotions(store)
    said = {"promotions": promotions, "registry": registry, "moved_by": "test"}
    said["decided_by"] = "test"

    def judged(version):
        evidence = {"model_name": PROMPT, "version": version}
        found = judge(evidence, CRITERIA, ledger=ledger, decided_by="test", life=StoreLife(store))
        return found, ledger.append(found.draft).id

    def through(version, decision):
        for environment in ("dev", "test", "staging", "production"):
            order = PromotionOrder(
                model_name=PROMPT, version=version, environment=environment, decision=decision
            )
            promote(order, key=f"{version} {environment} {decision}", **said)

    scored(store, tmp_path, "1", 5, 4, 5, 4, 5, 4)
    scored(store, tmp_path, "2", 4, 5, 5, 5, 5)
    scored(store, tmp_path, "3", 5, 1, 2, 5, 2, 1)

    first, decision = judged("1")
    assert first.verdict.lets_pass
    through("1", decision)
    assert registry.aliases(PROMPT)["production"] == "1"

    refused, decision = judged("3")
    assert [c.name for c in refused.failed] == ["human_score"]
    with pytest.raises(PromotionError, match="refused this version"):
        through("3", decision)
    assert registry.aliases(PROMPT)["production"] == "1"

    second, decision = judged("2")
    assert second.verdict.lets_pass
    through("2", decision)
    assert registry.aliases(PROMPT)["production"] == "2"

    roll_back(
        RollbackOrder(model_name=PROMPT, environment="production", reason="too long"),
        key="back",
        **said,
    )
    assert registry.aliases(PROMPT)["production"] == "1"
    told = [
        i["version"] for i in history(PROMPT, ledger=ledger) if i["environment"] == "production"
    ]
    assert told == ["1", "2", "1"]


def test_a_prompt_nobody_scored_is_not_measured(registry):
    store = memory_store()
    found = judge(
        {"model_name": PROMPT, "version": "3"},
        CRITERIA,
        ledger=Ledger(store),
        decided_by="test",
        life=StoreLife(store),
    )
    assert "0 people's answers are there" in found.criteria[0].sentence
    assert not found.verdict.lets_pass
