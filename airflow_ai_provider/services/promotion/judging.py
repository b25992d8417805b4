"""Judge one candidate on its evidence."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from airflow_ai_provider.adapters.predictions import digest_of, file_of, read_columns
from airflow_ai_provider.core.errors import (
    CriteriaError,
    EvidenceError,
    LedgerError,
    ModelGateError,
    RegistryNotFoundError,
)
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
    plain,
    worst,
)
from airflow_ai_provider.core.promotion.criteria import ModelCriterion, parse_criteria
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.core.promotion.evaluate import Case, evaluate
from airflow_ai_provider.core.promotion.evidence import (
    ModelEvidence,
    Predictions,
    evidence_hash,
    parse_evidence,
)
from airflow_ai_provider.core.promotion.life import Life
from airflow_ai_provider.core.promotion.metrics import (
    METRICS,
    NotMeasurableError,
    are_classes,
    usable,
)
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.noting import NotedLife
from airflow_ai_provider.store.ledger import Ledger

_OF_NUMBERS = ("mae", "rmse")  # the others are of classes
_RECORDED = (
    "model_name",
    "run_id",
    "model_uri",
    "version",
    "candidate",
    "reference_kind",
    "reference_version",
    "predictions_digest",
    "data",
    "training",
    "costs",
    "run",
    "measured",
    "assessments",
    "life",
    "environment",
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one candidate, before it is on record."""

    evidence: ModelEvidence
    evidence_hash: str
    criteria: tuple[Criterion, ...]
    metrics: Mapping[str, Mapping[str, float]]
    draft: GateDraft

    @property
    def verdict(self) -> Verdict:
        """The strictest verdict of all criteria."""
        return self.draft.verdict

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """The criteria that refuse the candidate."""
        return tuple(c for c in self.criteria if not c.verdict.lets_pass)

    def result(self, record: GateRecord) -> dict[str, Any]:
        """Return what the gate hands on, in JSON's own types."""
        found: dict[str, Any] = plain(
            {
                "verdict": self.verdict,
                "passed": self.verdict.lets_pass,
                "model_name": self.evidence.model_name,
                "version": self.evidence.version,
                "candidate": self.evidence.candidate,
                "evidence_hash": self.evidence_hash,
                "record": record.id,
                "criteria": [asdict(criterion) for criterion in self.criteria],
                "metrics": self.metrics,
                "evidence": self.evidence.content,
            }
        )
        return found

    def refusal(self, record: GateRecord) -> ModelGateError | None:
        """Return the error that says why the candidate is refused; None when it passes."""
        if self.verdict.lets_pass:
            return None
        found = self.evidence
        who = found.candidate or (f"version {found.version}" if found.version else found.run_id)
        return ModelGateError(
            f"{found.model_name} ({who}) is refused: " + " ".join(c.sentence for c in self.failed),
            remedy=f"The gate record is {record.id}.",
            record=record.id,
            failed=[plain(asdict(criterion)) for criterion in self.failed],
        )


def judge(
    evidence: Mapping[str, Any],
    criteria: Any,
    *,
    ledger: Ledger,
    decided_by: str,
    registry: Callable[[], ModelRegistry] | None = None,
    origin: Origin | None = None,
    project: str | None = None,
    life: Life | None = None,
) -> Judgement:
    """Return the judgement on ``evidence`` by ``criteria`` (a list of dicts, or a YAML file).

    Evidence that was compared with a champion must have been compared with the one that is live:
    ``registry`` is asked for it, and only then. A model that was found not to load fails whatever
    the criteria ask. ``life`` answers the criteria on what the store knows; what it told becomes
    part of the evidence.

    :raises CriteriaError: the criteria mean nothing.
    :raises EvidenceError: the evidence is of another shape, or its predictions cannot be read.
    """
    wanted = load_criteria(criteria)
    found = parse_evidence(evidence)
    found, predictions = _with_rows(found)
    retrained = None
    if found.retrained:
        again, retrained = _with_rows(parse_evidence(found.retrained))
        found = parse_evidence({**found.content, "retrained": again.content})
    noted = NotedLife(life) if life is not None else None
    case = Case(
        evidence=found,
        predictions=predictions,
        gates=_gates(found, ledger),
        retrained=retrained,
        life=noted,
        project=project,
    )
    judged = (*evaluate(wanted, case), *_usable(wanted, case), *_champion_is_live(found, registry))
    if noted is not None and noted.told:
        found = parse_evidence({**found.content, "life": plain(noted.told)})
    measured = _metrics(predictions)
    bound = evidence_hash(found.content)
    recorded = {name: found.content[name] for name in _RECORDED if name in found.content}
    draft = GateDraft(
        kind=GateKind.MODEL,
        subject=found.subject,
        verdict=worst(criterion.verdict for criterion in judged),
        criteria=judged,
        evidence={**recorded, "evidence_hash": bound, "metrics": measured, "project": project},
        decided_by=decided_by,
        origin=origin or Origin(),
    )
    return Judgement(
        evidence=found, evidence_hash=bound, criteria=judged, metrics=measured, draft=draft
    )


def load_criteria(value: Any) -> tuple[ModelCriterion, ...]:
    """Return the criteria in ``value``: a list of dicts, or the path of a YAML file with one.

    :raises CriteriaError: they cannot be read or mean nothing.
    """
    if not isinstance(value, (str, Path)):
        return _with_calls(parse_criteria(value))
    try:
        text = Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CriteriaError(
            f"The criteria {value} cannot be read: {error}.", remedy="Name a YAML file or a list."
        ) from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CriteriaError(f"The criteria {value} are no YAML: {error}") from error
    return _with_calls(parse_criteria(document))


def _with_calls(criteria: tuple[ModelCriterion, ...]) -> tuple[ModelCriterion, ...]:
    """Return the criteria with the functions that they name.

    :raises CriteriaError: there is no such function.
    """
    return tuple(
        replace(c, options={**c.options, "call": _looked_up(c)})
        if isinstance(c.options.get("call"), str)
        else c
        for c in criteria
    )


def _looked_up(criterion: ModelCriterion) -> Callable[..., Any]:
    module, _, name = criterion["call"].partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is not ours
        raise CriteriaError(
            f"Criterion {criterion.name} calls {criterion['call']}, which is not found: {error}.",
            remedy="Write package.module:function of a module that the worker can import.",
        ) from error
    if not callable(found):
        raise CriteriaError(f"{criterion['call']} of criterion {criterion.name} is no function.")
    called: Callable[..., Any] = found
    return called


def _usable(criteria: tuple[ModelCriterion, ...], case: Case) -> list[Criterion]:
    """Return the failure of a model that does not load, where no criterion asks for it."""
    if case.evidence.measured.get("loads") is not False:
        return []
    if any(criterion.kind == "loads" for criterion in criteria):
        return []
    return list(evaluate(parse_criteria([{"kind": "loads"}]), case))


def _champion_is_live(
    evidence: ModelEvidence, registry: Callable[[], ModelRegistry] | None
) -> list[Criterion]:
    compared = evidence.reference_version
    if registry is None or evidence.reference_kind != "champion" or compared is None:
        return []
    live: str | None = None
    with suppress(RegistryNotFoundError):
        live = registry().aliases(evidence.model_name).get(DEFAULT_PATH.last)
    return [
        Criterion(
            name="champion_is_live",
            limit=compared,
            observed=live,
            verdict=Verdict.PASS if live == compared else Verdict.FAIL,
            sentence=f"The candidate was compared with version {compared}; "
            f"{f'version {live}' if live else 'no version'} is in {DEFAULT_PATH.last}.",
        )
    ]


def read_rows(evidence: ModelEvidence) -> Predictions | None:
    """Return the held-out rows that the evidence names; None when it names none.

    :raises EvidenceError: they cannot be read, or are not those that were judged.
    """
    if evidence.predictions is None:
        return None
    path, judged = file_of(evidence.predictions), evidence.content.get("predictions_digest")
    if judged is not None and digest_of(path) != judged:
        raise EvidenceError(
            f"The predictions {path} were changed since they were judged.", remedy="Judge again."
        )
    return _rows(evidence, path)


def _with_rows(evidence: ModelEvidence) -> tuple[ModelEvidence, Predictions | None]:
    """Return the evidence with the digest of its predictions, and these."""
    if evidence.predictions is None:
        return evidence, None
    path = file_of(evidence.predictions)
    content = {**evidence.content, "predictions_digest": digest_of(path)}
    return parse_evidence(content), _rows(evidence, path)


def _rows(evidence: ModelEvidence, path: Path) -> Predictions:
    columns = read_columns(path, evidence.columns)
    return Predictions(
        label=columns[evidence.label],
        score=columns[evidence.score],
        reference=columns[evidence.reference] if evidence.reference else None,
        group=columns[evidence.group] if evidence.group else None,
        slices={name: columns[name] for name in evidence.slices},
    )


def _gates(evidence: ModelEvidence, ledger: Ledger) -> dict[str, GateRecord]:
    found = {}
    drift = evidence.data.get("drift")
    named = [*(evidence.training.get("gates") or []), *([] if drift is None else [drift])]
    for name in map(str, named):
        with suppress(LedgerError):  # the criterion says which record lacks
            found[name] = ledger.get(name)
    return found


def _metrics(predictions: Predictions | None) -> dict[str, dict[str, float]]:
    """Return every metric that has a value, of the candidate and of what it is compared with."""
    if predictions is None:
        return {}
    columns = {"candidate": predictions.score, "reference": predictions.reference}
    return {
        side: _measured(predictions.label, scores)
        for side, scores in columns.items()
        if scores is not None
    }


def _measured(label: Any, score: Any) -> dict[str, float]:
    found = {"rows": float(np.size(label))}
    with suppress(NotMeasurableError):
        of_classes = are_classes(usable(label, score)[0])
        for name, metric in METRICS.items():
            if (name in _OF_NUMBERS) is of_classes:
                continue
            with suppress(NotMeasurableError):  # a criterion on it says why
                found[name] = metric(label, score)
    return found
