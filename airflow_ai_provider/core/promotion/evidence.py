"""The evidence on one candidate: a JSON object that training code makes and XCom carries.

::

    {"model_name": "flight_delays", "run_id": "<MLflow run>", "model_uri": "models:/m-...",
     "version": "3" or null (not registered yet), "candidate": "boosting",
     "predictions": "<path of a Parquet file of held-out rows>",
     "label": "label", "score": "score",        # columns: 0/1 and the candidate's probability,
                                                # or class numbers and the predicted class
     "reference": "reference" or null,          # column: the same of champion or baseline
     "reference_kind": "champion" | "baseline" | null, "reference_version": "1" or null,
     "group": "day" or null, "slices": ["carrier"],
     "data": {"name": "flights/2013-03", "own": true, "digest": "..."},
     "training": {"partitions": [...], "through": "2013-02-28", "gates": [...], ...},
     "costs": {"p95_ms_per_1000": 23.0, "size_bytes": 854000, ...},
     "run": {"metrics": {...}, "params": {...}, "code_revision": "..."},
     "measured": {"loads": true, ...},          # by ModelEvidenceOperator, with "environment"
     "assessments": {"traces": 60, "found": [...]},   # by TraceEvidenceOperator
     "life": {...},                             # by the gate: people's scores, live metrics
     "retrained": {"run_id": "...", "training": {...}, "predictions": "...", ...}}

In ``data``, ``drift`` names the gate record of the drift gate. ``retrained`` is the evidence on a
second training with the same inputs, judged on the same rows in the same order.

Its hash covers all of it and, as ``predictions_digest``, the bytes of the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.core.promotion.metrics import Array

SUBJECT_SCHEME = "mlflow://"
REFERENCE_KINDS = ("champion", "baseline")


@dataclass(frozen=True, kw_only=True)
class ModelEvidence:
    """Evidence that was read; ``content`` is the whole of it as it came."""

    model_name: str
    run_id: str | None
    model_uri: str | None
    version: str | None
    candidate: str | None
    predictions: str | None
    label: str
    score: str
    reference: str | None
    reference_kind: str | None
    reference_version: str | None
    group: str | None
    slices: tuple[str, ...]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    costs: Mapping[str, Any]
    run: Mapping[str, Any]
    measured: Mapping[str, Any]
    assessments: Mapping[str, Any]
    retrained: Mapping[str, Any]
    content: Mapping[str, Any] = field(repr=False)

    @property
    def subject(self) -> str:
        """The URI of what the evidence is about: the version, or the run not yet registered."""
        if self.version is not None:
            return version_subject(self.model_name, self.version)
        if self.run_id is not None:
            return f"{SUBJECT_SCHEME}{self.model_name}/runs/{self.run_id}"
        return f"{SUBJECT_SCHEME}{self.model_name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the predictions must have."""
        named = (self.label, self.score, self.reference, self.group, *self.slices)
        return tuple(dict.fromkeys(column for column in named if column))


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Held-out rows, column by column."""

    label: Array
    score: Array
    reference: Array | None = None
    group: Array | None = None
    slices: Mapping[str, Array] = field(default_factory=dict)


def version_subject(model_name: str, version: str | int) -> str:
    """Return the URI of a model version in the ledger: ``mlflow://NAME/VERSION``."""
    return f"{SUBJECT_SCHEME}{model_name}/{version}"


def parse_evidence(value: Any) -> ModelEvidence:
    """Return ``value`` as evidence.

    :raises EvidenceError: it is no object, or a field is missing or of another type.
    """
    if not isinstance(value, Mapping):
        raise EvidenceError(
            f"Evidence must be a JSON object, not {type(value).__name__}.",
            remedy="Pass the dict that the training task returned.",
        )
    kind = _text(value, "reference_kind")
    if kind is not None and kind not in REFERENCE_KINDS:
        raise EvidenceError(
            f"reference_kind is {kind!r}.", remedy=f"Write one of {REFERENCE_KINDS} or null."
        )
    return ModelEvidence(
        model_name=_required(value, "model_name"),
        run_id=_text(value, "run_id"),
        model_uri=_text(value, "model_uri"),
        version=_text(value, "version"),
        candidate=_text(value, "candidate"),
        predictions=_text(value, "predictions"),
        label=_text(value, "label") or "label",
        score=_text(value, "score") or "score",
        reference=_text(value, "reference"),
        reference_kind=kind,
        reference_version=_text(value, "reference_version"),
        group=_text(value, "group"),
        slices=_texts(value, "slices"),
        data=_mapping(value, "data"),
        training=_mapping(value, "training"),
        costs=_mapping(value, "costs"),
        run=_mapping(value, "run"),
        measured=_mapping(value, "measured"),
        assessments=_mapping(value, "assessments"),
        retrained=_mapping(value, "retrained"),
        content=value,
    )


def evidence_hash(evidence: Mapping[str, Any]) -> str:
    """Return the hash that binds decision, approval and promotion to this evidence.

    A model gate's result carries its evidence within; the hash of the result is that evidence's.
    """
    inner = evidence.get("evidence")
    return digest(inner if "evidence_hash" in evidence and isinstance(inner, Mapping) else evidence)


def _required(value: Mapping[str, Any], name: str) -> str:
    text = _text(value, name)
    if not text:
        raise EvidenceError(
            f"The evidence has no {name}.",
            remedy="The training task must return it.",
            field=name,
        )
    return text


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise EvidenceError(f"The evidence's {name} is no text: {found!r}.", field=name)
    return str(found)


def _texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = value.get(name) or ()
    if isinstance(found, str) or not all(isinstance(item, str) for item in found):
        raise EvidenceError(f"The evidence's {name} is no list of texts: {found!r}.", field=name)
    return tuple(found)


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise EvidenceError(f"The evidence's {name} is no object: {found!r}.", field=name)
    return found
