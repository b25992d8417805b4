"""A project's life: read its file, complete its milestones, let it into its next phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import (
    LifecycleError,
    MilestoneIncompleteError,
    PhaseGateError,
)
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    digest,
    plain,
    worst,
)
from airflow_ai_provider.core.lifecycle.delivered import Delivered, assess, milestone_criteria
from airflow_ai_provider.core.lifecycle.milestones import milestone
from airflow_ai_provider.core.lifecycle.phases import PhaseDecision, decide
from airflow_ai_provider.core.lifecycle.project import PHASES
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.findings import Finder, vanished
from airflow_ai_provider.services.noting import note
from airflow_ai_provider.services.overriding import standing_overrides
from airflow_ai_provider.services.project_file import (
    ProjectFile,
    load_project,
    read_project_file,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import NewDeliverable, Projects

__all__ = [
    "Caller",
    "Lifecycle",
    "MilestoneResult",
    "PhaseResult",
    "ProjectFile",
    "load_project",
    "read_project_file",
]

GATED_PHASES = ("discovery", "pilot", "production")


def no_key(_draft: GateDraft) -> None:
    """Return no key: every decision is one of its own."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who decides: the name for the record, the task instance, and the key of this decision.

    ``key`` makes a decision idempotent: it returns the ledger's key for a draft, or None.
    """

    decided_by: str = "airflow-ai"
    origin: Origin = field(default_factory=Origin)
    key: Callable[[GateDraft], str | None] = no_key


@dataclass(frozen=True, kw_only=True)
class MilestoneResult:
    """A milestone that is done, with its gate record."""

    project: str
    milestone: str
    delivered: Delivered
    answered_by: str | None
    record: GateRecord


@dataclass(frozen=True, kw_only=True)
class PhaseResult:
    """What a phase gate decided, with its gate records."""

    project: str
    phase: str
    decision: PhaseDecision
    record: GateRecord
    pilot_records: Mapping[str, GateRecord] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the project may go on."""
        return self.decision.verdict.lets_pass

    def report(self) -> dict[str, Any]:
        """Return the result in the form that goes to the next task."""
        refused = {
            name: [c.name for c in criteria if not c.verdict.lets_pass]
            for name, criteria in self.decision.by_pilot.items()
            if name not in self.decision.admitted
        }
        return {
            "project": self.project,
            "phase": self.phase,
            "verdict": self.decision.verdict.value,
            "passed": self.passed,
            "admitted": list(self.decision.admitted),
            "refused": refused,
            "criteria": [plain(asdict(c)) for c in self.decision.criteria],
            "record": self.record.id,
            "pilot_records": {name: r.id for name, r in self.pilot_records.items()},
        }

    def error(self) -> PhaseGateError:
        """Return the refusal as an error."""
        failed = self.decision.failed
        return PhaseGateError(
            f"{self.project} may not leave {self.phase}: it fails "
            f"{', '.join(c.name for c in failed)}.",
            remedy=" ".join(c.sentence for c in failed),
            record=self.record.id,
            failed=[c.name for c in failed],
        )


class Lifecycle:
    """The lives of the projects in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.projects = Projects(store)
        self.ledger = Ledger(store)
        self.finder = Finder(store)

    def complete_milestone(
        self,
        file: ProjectFile,
        name: str,
        *,
        measured: Mapping[str, Any] | None = None,
        answers: Mapping[str, Any] | None = None,
        answered_by: str | None = None,
        caller: Caller | None = None,
    ) -> MilestoneResult:
        """Keep what milestone ``name`` left behind, with a gate record.

        ``measured`` and ``answers`` are by deliverable; ``answered_by`` is the Airflow user.

        :raises MilestoneIncompleteError: a deliverable is not there. The refusal is in the ledger;
            nothing else changed.
        """
        caller = caller or Caller()
        definition = milestone(name)
        delivered = assess(definition, file.project, measured=measured, answers=answers)
        criteria = milestone_criteria(definition, delivered, vanished(delivered.measured))
        draft = _draft(
            f"project://{file.project.name}/{definition.phase}/{name}",
            criteria,
            {
                "project_file": file.digest,
                "measured": {k: digest(v) for k, v in delivered.measured.items()},
                "answered": {k: digest(v) for k, v in delivered.answered.items()},
            },
            caller,
            decided_by=answered_by,
        )
        note(self.projects, file)
        good = draft.verdict.lets_pass
        record = self.projects.decide(
            file.project.name,
            draft,
            key=caller.key(draft),
            milestone=name,
            deliverables=_rows(delivered, answered_by, caller) if good else (),
        )
        if not good:
            raise _incomplete(f"{name} of {file.project.name}", criteria, record)
        return MilestoneResult(
            project=file.project.name,
            milestone=name,
            delivered=delivered,
            answered_by=answered_by,
            record=record,
        )

    def judge_phase(
        self,
        file: ProjectFile,
        phase: str,
        *,
        evidence: Mapping[str, Any] | None = None,
        code_folder: Path | None = None,
        registry: ModelRegistry | None = None,
        caller: Caller | None = None,
    ) -> PhaseResult:
        """Decide whether the project may leave ``phase``, with a gate record.

        ``evidence`` holds, for the pilot phase, ``pilots`` (the results of the model gates),
        ``approved`` (what the sponsor was shown, with the same ``pilots``) and ``approval`` (the
        answer); for production, ``models`` (those about to go live).

        :raises LifecycleError: the phase has no gate, or the evidence has another shape.
        """
        if phase not in GATED_PHASES:
            raise LifecycleError(
                f"The phase {phase} has no exit criteria.",
                remedy=f"Name one of {', '.join(GATED_PHASES)}.",
            )
        caller = caller or Caller()
        project = file.project
        findings, references = self.finder.find(file, phase, evidence or {}, code_folder, registry)
        decision = decide(project, phase, findings, standing_overrides(self.ledger, file, phase))
        note(self.projects, file)
        subject = f"project://{project.name}/{phase}"
        references = {"project_file": file.digest, **references}
        pilot_records = self._record_pilots(subject, decision, references, caller)
        draft = GateDraft(
            kind=GateKind.PHASE,
            subject=subject,
            verdict=decision.verdict,
            criteria=decision.criteria,
            evidence={**references, "admitted": list(decision.admitted)},
            decided_by=caller.decided_by,
            origin=caller.origin,
        )
        move = (phase, PHASES[PHASES.index(phase) + 1]) if decision.verdict.lets_pass else None
        if phase == "production":
            move = None  # live, and it stays so: maintenance begins when somebody hands it over
        record = self.projects.decide(project.name, draft, key=caller.key(draft), move=move)
        return PhaseResult(
            project=project.name,
            phase=phase,
            decision=decision,
            record=record,
            pilot_records=pilot_records,
        )

    def _record_pilots(
        self,
        subject: str,
        decision: PhaseDecision,
        references: Mapping[str, Any],
        caller: Caller,
    ) -> dict[str, GateRecord]:
        """Put on record what was decided of each pilot by itself."""
        records = {}
        for name, criteria in decision.by_pilot.items():
            evidence = {
                "project_file": references["project_file"],
                "pilots": {name: references["pilots"].get(name)},
            }
            draft = _draft(f"{subject}/{name}", criteria, evidence, caller)
            records[name] = self.ledger.append(draft, key=caller.key(draft))
        return records


def _draft(
    subject: str,
    criteria: Sequence[Criterion],
    evidence: Mapping[str, Any],
    caller: Caller,
    *,
    decided_by: str | None = None,
) -> GateDraft:
    return GateDraft(
        kind=GateKind.PHASE,
        subject=subject,
        verdict=worst(c.verdict for c in criteria),
        criteria=tuple(criteria),
        evidence=evidence,
        decided_by=decided_by or caller.decided_by,
        origin=caller.origin,
    )


def _incomplete(
    which: str, criteria: Sequence[Criterion], record: GateRecord
) -> MilestoneIncompleteError:
    failed = [c for c in criteria if not c.verdict.lets_pass]
    return MilestoneIncompleteError(
        f"The milestone {which} is not done.",
        remedy=" ".join(c.sentence for c in failed),
        missing=[c.name for c in failed],
        record=record.id,
    )


def _rows(delivered: Delivered, answered_by: str | None, caller: Caller) -> list[NewDeliverable]:
    measured = [
        NewDeliverable(name=name, kind="m", value=value, by=caller.decided_by)
        for name, value in delivered.measured.items()
    ]
    answered = [
        NewDeliverable(name=name, kind="p", value=value, by=answered_by or caller.decided_by)
        for name, value in delivered.answered.items()
    ]
    return measured + answered
