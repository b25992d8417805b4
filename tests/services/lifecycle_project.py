"""A project on disk, in a git repository of its own, with all that its gates ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Verdict,
    digest,
)
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.promotion.copying import ModelDescription
from airflow_ai_provider.core.promotion.logistics import NEEDED
from airflow_ai_provider.services.lifecycle import Lifecycle, PhaseResult, read_project_file
from airflow_ai_provider.services.overriding import override_refusal
from airflow_ai_provider.services.project_file import ProjectFile
from airflow_ai_provider.services.retiring import Retired, retire_model
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.feedback_series import MetricSeries
from tests.services.promotion_registry import FileRegistry
from tests.stores import store_file

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
PILOTS = ("flight_delays", "handwritten_digits")
CODE = """\
from airflow.sdk import DAG, task
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator

with DAG('pilot'):
    @task
    def winners(verdicts):
        best = {}
        for verdict in verdicts:
            name = verdict["model_name"]
            if name not in best or verdict["score"] > best[name]["score"]:
                best[name] = verdict
        ordered = sorted(best)
        return [best[name] for name in ordered]

    PhaseGateOperator(task_id='gate', project='flight_delays.yaml', phase='pilot')
"""
BETTER = Criterion(
    name="ranks_better_than_baseline",
    limit=0.03,
    observed=0.05,
    verdict=Verdict.PASS,
    sentence="It ranks better.",
)


class Files:
    """The files of every version: one."""

    def describe(self, name: str, version: str) -> ModelDescription:
        return ModelDescription(
            address="here", name=name, version=version, status="READY", run_id=None,
            files={"model.txt": 7},
        )  # fmt: skip

    def fetch(self, name: str, version: str, path: str, into: Path) -> None:
        into.write_text("weights")


class Scene:
    """A good project; change what shall be bad, then let a gate judge it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = TEMPLATE.read_text()
        self.tags: Mapping[str, str] = {}
        self.own = True
        self.live: tuple[str, ...] = ("flight_delays",)
        self.feedback: tuple[str, ...] = ("flight_delays",)
        self.life = Lifecycle(Store.open(store_file(folder / "ai.db")))
        self.registry = FileRegistry(folder / "registry.db")
        self.code = folder / "code"
        self.code.mkdir()
        self.git("init", "-q")
        self.commit("pilot.py", CODE.encode())

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", "-C", self.code, *who, *words], check=True, capture_output=True)

    def commit(self, name: str, content: bytes) -> None:
        (self.code / name).write_bytes(content)
        self.git("add", name)
        self.git("commit", "-q", "-m", f"Add {name}")

    def replace(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)

    def drop(self, field: str) -> None:
        content = yaml.safe_load(self.text)
        del content[field]
        self.text = yaml.safe_dump(content, sort_keys=False)

    @property
    def file(self) -> ProjectFile:
        path = self.folder / "flight_delays.yaml"
        path.write_text(self.text)
        return read_project_file(path)

    def judge(self, phase: str) -> PhaseResult:
        evidence: dict[str, Any] = {}
        if phase == "discovery":
            self._discover()
        elif phase == "pilot":
            evidence = self._pilots()
        else:
            self._go_live()
        return self.life.judge_phase(
            self.file, phase, evidence=evidence, code_folder=self.code, registry=self.registry
        )

    def override(self, record: str, *, by: str, reason: str) -> GateRecord:
        return override_refusal(self.life.ledger, self.file, record, by=by, reason=reason)

    def retire(self, name: str, *, by: str, archive: Path | None = None) -> Retired:
        return retire_model(
            self.file, name, by=by, reason="its season is over", store=self.life.store,
            registry=self.registry, files=Files(), archive=archive,
        )  # fmt: skip

    def cover(self, name: str, share: float, *, partition: str = "2013-05") -> None:
        point = {
            "model_name": name, "model_version": "1", "partition": partition, "slice": "",
            "metric": "coverage", "value": share, "low": None, "high": None, "n": 10,
        }  # fmt: skip
        MetricSeries(self.life.store).write([point])

    def _discover(self) -> None:
        sample = self.folder / "sample.parquet"
        sample.touch()
        for definition in MILESTONES:
            measured: dict[str, Any] = {d.name: {"a": 1} for d in definition.measured}
            if "curated_data_sets" in measured:
                measured["curated_data_sets"] = {"samples": [{"path": str(sample)}]}
            self.life.complete_milestone(self.file, definition.name, measured=measured)

    def _pilots(self) -> dict[str, Any]:
        results = [self._judged(name) for name in PILOTS]
        shown = {"pilots": results}
        approval = GateDraft(
            kind=GateKind.APPROVAL,
            subject="airflow://pilot/approve",
            verdict=Verdict.PASS,
            evidence={"evidence_hash": digest(shown)},
            decided_by="sponsor",
        )
        record = self.life.ledger.append(approval)
        return {"pilots": results, "approved": shown, "approval": {"record": record.id}}

    def _judged(self, name: str) -> dict[str, Any]:
        tags = {**dict.fromkeys(NEEDED.values(), "d" * 64), **self.tags}
        self.registry.create_version(name, model_uri="m", run_id=f"run-{name}", tags=tags)
        own = self.own and name == "flight_delays"
        evidence = {"model_name": name, "run_id": f"run-{name}", "data": {"own": own}}
        draft = GateDraft(
            kind=GateKind.MODEL,
            subject=f"mlflow://{name}/runs/run-{name}",
            verdict=Verdict.PASS,
            criteria=(BETTER,),
            evidence={"evidence_hash": digest(evidence)},
        )
        record = self.life.ledger.append(draft)
        return {
            "model_name": name,
            "record": record.id,
            "evidence": evidence,
            "evidence_hash": digest(evidence),
        }

    def _go_live(self) -> None:
        for name in self.live:
            if not self.registry.find_versions(name):
                self.registry.create_version(name, model_uri="m", run_id="r", tags={})
            self.registry.set_alias(name, "production", "1")
            self.life.ledger.append(
                GateDraft(
                    kind=GateKind.PROMOTION,
                    subject=f"mlflow://{name}/1",
                    verdict=Verdict.PASS,
                    evidence={
                        "model_name": name,
                        "environment": "production",
                        "from": None,
                        "to": "1",
                        "moved_by": "ml",
                    },
                )
            )
        for name in self.feedback:
            record = FeedbackRecord(
                feedback_id=f"{name}-1",
                model_name=name,
                observed_at=datetime(2013, 5, 1, tzinfo=timezone.utc),
                value=1.0,
            )
            FeedbackStore(self.life.store).write_batch([[row_of(record)]], [], sources=["x"])
