"""What is true of a project outside its file, as the phase gates ask for it.

Results that a task hands over count only as far as the ledger knows their records.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import (
    CriteriaError,
    LedgerError,
    LifecycleError,
    RegistryNotFoundError,
)
from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict, digest
from airflow_ai_provider.core.lifecycle.code import CodeFound, examine_code
from airflow_ai_provider.core.lifecycle.found import Findings, PilotResult
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.core.promotion.evidence import evidence_hash
from airflow_ai_provider.core.promotion.logistics import lacking
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.feedback_records import records_of
from airflow_ai_provider.services.project_file import ProjectFile
from airflow_ai_provider.services.promotion.timeline import holder
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects


class Finder:
    """Looks into a store for what a phase gate needs to know."""

    def __init__(self, store: Store) -> None:
        self.projects = Projects(store)
        self.ledger = Ledger(store)
        self.store = store
        self.series = MetricSeries(store)

    def milestones_done(self, name: str) -> dict[str, str]:
        """Return the milestones of project ``name`` whose deliverables are there, with records."""
        there: dict[tuple[str, str, str], Any] = {}
        records: dict[str, str] = {}
        for row in self.projects.deliverables(name):
            there[row.milestone, row.name, row.kind] = row.value
            records[row.milestone] = row.record
        done = {}
        for definition in MILESTONES:
            wanted = {(definition.name, d.name, "m") for d in definition.measured}
            wanted |= {(definition.name, d.name, "p") for d in definition.asked}
            values = {key[1]: there[key] for key in wanted & there.keys() if key[2] == "m"}
            if wanted <= there.keys() and not vanished(values):
                done[definition.name] = records[definition.name]
        return done

    def live_models(self, project: Project) -> list[str]:
        """Return the project's models that are in production, says the ledger; retired ones not."""
        return [
            use_case.name
            for use_case in project.use_cases
            if (move := holder(use_case.name, DEFAULT_PATH.last, ledger=self.ledger)) is not None
            and move.evidence["to"] is not None
        ]

    def coverage(self, model_name: str) -> float | None:
        """Return the newest share of a model's predictions with feedback; None: not measured."""
        points = self.series.read(model_name, metric="coverage")
        newest = max((point["partition"] for point in points), default=None)
        found = [p["value"] for p in points if p["partition"] == newest and p["value"] is not None]
        return min(found) if found else None

    def find(
        self,
        file: ProjectFile,
        phase: str,
        evidence: Mapping[str, Any],
        code_folder: Path | None,
        registry: ModelRegistry | None = None,
    ) -> tuple[Findings, dict[str, Any]]:
        """Return what is true for the gate of ``phase``, and references to it for the ledger."""
        if phase == "discovery":
            done = self.milestones_done(file.project.name)
            return Findings(milestones_done=frozenset(done)), {
                "milestones": done,
                "prioritised": [use_case.name for use_case in file.project.prioritised],
                "pilots": {},
            }
        if phase == "pilot":
            return self._find_pilots(file, evidence, code_folder, registry)
        live = sorted({*self.live_models(file.project), *_names(evidence, "models")})
        feedback = {name: records_of(self.store, name).count(name) for name in live}
        shares = {name: share for name in live if (share := self.coverage(name)) is not None}
        return Findings(live_models=live, feedback=feedback, coverage=shares), {
            "models": live,
            "feedback": feedback,
            "coverage": shares,
            "pilots": {},
        }

    def _find_pilots(
        self,
        file: ProjectFile,
        evidence: Mapping[str, Any],
        code_folder: Path | None,
        registry: ModelRegistry | None,
    ) -> tuple[Findings, dict[str, Any]]:
        handed = _results(evidence)
        results = [self._pilot(file.project, result, registry) for result in handed]
        approval = _mapping(evidence, "approval") or {}
        record = self._known(approval.get("record"), GateKind.APPROVAL)
        shown = _mapping(evidence, "approved") or {}
        approved = (
            record is not None
            and Verdict(record.verdict) is Verdict.PASS
            and record.evidence.get("evidence_hash") == evidence_hash(shown)
            and digest(list(shown.get("pilots") or ())) == digest(handed)
        )
        folder = code_folder or file.path.parent
        findings = Findings(
            pilots={result.model_name: result for result in results},
            approved_by=record.decided_by if record and approved else None,
            models_in_repository=_models_in(folder),
            code=_code_in(folder, file),
        )
        return findings, {
            "pilots": {result.model_name: result.gate for result in results},
            "approval": record.id if record else None,
        }

    def _pilot(
        self, project: Project, result: Mapping[str, Any], registry: ModelRegistry | None
    ) -> PilotResult:
        name = str(result.get("model_name"))
        record = self._known(result.get("record"), GateKind.MODEL)
        if record is not None and (
            not record.subject.startswith(f"mlflow://{name}/")
            or record.evidence.get("evidence_hash") != evidence_hash(result)
        ):
            record = None  # another model's gate, or evidence that was changed since
        inner = result.get("evidence")
        data = inner.get("data") if isinstance(inner, Mapping) else None
        own = data.get("own") if isinstance(data, Mapping) else None
        version = result.get("version")
        return PilotResult(
            model_name=name,
            gate=record.id if record else None,
            verdict=record.verdict if record else None,
            version=None if version is None else str(version),
            own_data=own if isinstance(own, bool) else None,
            data=str(data.get("name")) if isinstance(data, Mapping) else None,
            bounds=_bounds(project, name, record),
            lacking=_lacking(registry, name, inner if isinstance(inner, Mapping) else {}),
        )

    def _known(self, record_id: Any, kind: GateKind) -> GateRecord | None:
        if not isinstance(record_id, str):
            return None
        try:
            record = self.ledger.get(record_id)
        except LedgerError:
            return None  # evidence that names no record proves nothing
        return record if record.kind == kind.value else None


def _models_in(folder: Path) -> list[str] | None:
    from airflow_ai_provider.adapters.repository import model_files

    try:
        return model_files(folder)
    except LifecycleError:
        return None  # its criterion then fails: it could not look


def _code_in(folder: Path, file: ProjectFile) -> CodeFound | None:
    from airflow_ai_provider.adapters.repository import python_sources

    shared = Path(__file__).parents[1] / "task_groups"
    try:
        sources = python_sources(folder)
    except LifecycleError:
        return None
    return examine_code(
        sources,
        names={file.project.name, file.path.name},
        shared={f"task_groups/{path.name}": path.read_text() for path in shared.glob("*.py")},
    )


def _bounds(project: Project, name: str, record: GateRecord | None) -> dict[str, float]:
    """Return the ends of the intervals that a gate's improvement criteria observed and passed."""
    from airflow_ai_provider.core.promotion.criteria import parse_criteria  # imports numpy

    plan = next((u.criteria for u in project.use_cases if u.name == name), None)
    if record is None or plan is None:
        return {}
    try:
        compared = {c.name for c in parse_criteria(list(plan.pilot)) if c.kind == "improvement"}
    except CriteriaError:
        return {}
    return {
        str(found["name"]): float(found["observed"])
        for found in record.criteria
        if found["name"] in compared
        and isinstance(found["observed"], (int, float))
        and Verdict(found["verdict"]).lets_pass
    }


def _lacking(
    registry: ModelRegistry | None, name: str, evidence: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """Return what the version of the evidence's run lacks; None when no version is to be found."""
    run_id = evidence.get("run_id")
    if registry is None or not isinstance(run_id, str):
        return None
    try:
        versions = registry.find_versions(name, run_id=run_id)
    except RegistryNotFoundError:
        return None
    return lacking(versions[-1]) if versions else None


def found_in(folder: Path, file: ProjectFile) -> Findings:
    """Return what the project's code alone tells."""
    return Findings(models_in_repository=_models_in(folder), code=_code_in(folder, file))


def vanished(measured: Mapping[str, Any]) -> list[str]:
    """Return the deliverables that name a file which is not there."""
    return [
        name
        for name, value in measured.items()
        if isinstance(value, Mapping)
        and any(not Path(sample["path"]).is_file() for sample in value.get("samples", ()))
    ]


def _results(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the model gates' results; those of skipped tasks are not there."""
    found = evidence.get("pilots") or ()
    results = list(found.values()) if isinstance(found, Mapping) else found
    if isinstance(results, (str, bytes)) or not hasattr(results, "__iter__"):
        raise _shape("pilots", "a list of the model gates' results")
    results = [result for result in results if result is not None]
    if not all(isinstance(result, Mapping) for result in results):
        raise _shape("pilots", "a list of the model gates' results")
    return results


def _mapping(evidence: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = evidence.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _shape(name, "an object")
    return dict(value)


def _names(evidence: Mapping[str, Any], name: str) -> list[str]:
    value = evidence.get(name) or ()
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise _shape(name, "a list of names")
    return [str(item) for item in value]


def _shape(name: str, wanted: str) -> LifecycleError:
    return LifecycleError(
        f"The evidence {name} of the phase gate has another shape.", remedy=f"Hand over {wanted}."
    )
