"""A registered model, its registry and ledger, for the tests of moves."""

from __future__ import annotations

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.services.promotion import (
    PromotionOrder,
    RollbackOrder,
    history,
    promote,
    roll_back,
)
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import FakeRegistry

ENVIRONMENTS = ("dev", "test", "staging", "production")


class World:
    """A model with versions 1 to 3, each of its own run, and a passing decision on each."""

    def __init__(self, store, registry=None):
        self.store, self.ledger = store, Ledger(store)
        self.registry = registry or FakeRegistry()
        self.promotions = Promotions(store)
        self.registry.create_model("m")
        for number in (1, 2, 3):
            self.registry.create_version(
                "m", model_uri=f"models:/m-{number}", run_id=f"run{number}", tags={}
            )

    def decide(self, version="1", *, verdict=Verdict.PASS, subject=None, evidence_hash="e", **more):
        draft = GateDraft(
            kind=GateKind.MODEL,
            subject=subject or f"mlflow://m/{version}",
            verdict=verdict,
            evidence={"evidence_hash": evidence_hash, **more},
        )
        return self.ledger.append(draft).id

    def approve(self, *, verdict=Verdict.PASS, evidence_hash="e", by="sponsor", **more):
        draft = GateDraft(
            kind=GateKind.APPROVAL,
            subject="mlflow://m/1",
            verdict=verdict,
            evidence={"evidence_hash": evidence_hash, "submitter": "ml", **more},
            decided_by=by,
        )
        return self.ledger.append(draft).id

    def promote(self, environment, version="1", *, key=None, by="dag/run/task", **order):
        return promote(
            PromotionOrder(model_name="m", version=version, environment=environment, **order),
            promotions=self.promotions,
            registry=self.registry,
            key=key or f"{environment}:{version}:{len(self.ledger.search())}",
            moved_by=by,
            patience=order.pop("patience", 0.0),
        )

    def roll_back(self, environment="production", *, key=None, by="dag/run/back", **order):
        return roll_back(
            RollbackOrder(model_name="m", environment=environment, **order),
            promotions=self.promotions,
            registry=self.registry,
            key=key or f"back:{environment}:{len(self.ledger.search())}",
            moved_by=by,
            patience=0.0,
        )

    def walk(self, version="1", until="production"):
        for environment in ENVIRONMENTS[: ENVIRONMENTS.index(until) + 1]:
            self.promote(environment, version, decision=self.decide(version))

    def intervals(self):
        return [
            (i["environment"], i["version"], i["to"] is None)
            for i in history("m", ledger=self.ledger)
        ]
