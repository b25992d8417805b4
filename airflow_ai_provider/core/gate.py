"""Gates: the decision that something may pass, and the record it leaves.

A gate takes criteria and evidence, returns a verdict with reasons, and leaves one record in an
append-only ledger. Each record carries the hash of the one before it, so that a changed, missing or
reordered record shows. Hashes are SHA-256 over canonical JSON (RFC 8785).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timezone
from enum import Enum
from typing import Any

import rfc8785

GENESIS = "0" * 64
_MAX_SAFE_INTEGER = 2**53 - 1
_CHANGED = "its content was changed after it was written"
_REPLACED = "it does not follow the record before it: one was replaced or moved"


class Verdict(str, Enum):
    """What a criterion or a gate says."""

    PASS = "pass"  # noqa: S105 - a verdict, not a secret
    WARN = "warn"
    FAIL = "fail"
    OVERRIDE = "override"

    @property
    def lets_pass(self) -> bool:
        """Whether the subject may go on."""
        return self is not Verdict.FAIL


class GateKind(str, Enum):
    """What kind of thing passed or was refused."""

    DATA = "data"
    DRIFT = "drift"
    MODEL = "model"
    APPROVAL = "approval"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    PHASE = "phase"
    RETRAIN = "retrain"
    OVERRIDE = "override"
    DEVICE = "device"


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One measured criterion: its name, the limit, what was observed, the verdict, one sentence."""

    name: str
    limit: Any
    observed: Any
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The Airflow task instance that decided; all empty outside Airflow."""

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None


@dataclass(frozen=True, kw_only=True)
class GateDraft:
    """What a gate decided, before the ledger numbers and chains it.

    ``subject`` is a URI (``ai-data://flights/2013-04``, ``mlflow://NAME/7``,
    ``project://NAME/pilot``). ``evidence`` holds hashes, figures and references, never personal
    data. ``decided_by`` is a person's user name, or the operator's class for a machine's decision.
    """

    kind: GateKind
    subject: str
    verdict: Verdict
    criteria: tuple[Criterion, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    decided_by: str = ""
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, kw_only=True)
class GateRecord:
    """One record of the ledger; the field order is the order under the hash."""

    id: str
    kind: str
    subject: str
    verdict: str
    criteria: list[dict[str, Any]]
    evidence: dict[str, Any]
    decided_by: str
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    map_index: int | None
    try_number: int | None
    created_at: str
    previous_hash: str
    hash: str

    def content(self) -> dict[str, Any]:
        """Every field before the hash, as it goes under it."""
        content = asdict(self)
        del content["hash"]
        return content


def canonical(value: Any) -> bytes:
    """Return ``value`` as canonical JSON (RFC 8785)."""
    return rfc8785.dumps(plain(value))


def digest(value: Any) -> str:
    """Return the SHA-256 of ``value``'s canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's own types, losing nothing that can be told.

    NaN and infinities become their names, numbers beyond a double's exact integers text, times
    become ISO 8601 in UTC, numpy scalars their Python value.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MAX_SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if abs(value) <= _MAX_SAFE_INTEGER else repr(value)  # NaN goes right too
    if isinstance(value, datetime):
        return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v) for v in value), key=repr)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    return str(value)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the strictest of ``verdicts``; of none, pass."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.WARN):
        if verdict in found:
            return verdict
    return Verdict.PASS


def seal(
    draft: GateDraft, *, record_id: str, created_at: datetime, previous_hash: str
) -> GateRecord:
    """Return ``draft`` as the record that follows the one with ``previous_hash``."""
    unsealed = GateRecord(
        id=record_id,
        kind=draft.kind.value,
        subject=draft.subject,
        verdict=draft.verdict.value,
        criteria=[plain(asdict(c)) for c in draft.criteria],
        evidence=plain(draft.evidence),
        decided_by=draft.decided_by,
        **asdict(draft.origin),
        created_at=plain(created_at),
        previous_hash=previous_hash,
        hash="",
    )
    return replace(unsealed, hash=digest(unsealed.content()))


@dataclass(frozen=True, kw_only=True)
class Break:
    """The first place where the chain does not hold: which record, at which place, and why."""

    record: str
    sequence: int
    reason: str


def first_break(records: Iterable[tuple[int, GateRecord]], head: tuple[int, str]) -> Break | None:
    """Return the first break of the chain ``records`` (in sequence order), or None.

    ``head`` is the sequence and hash that the ledger last wrote (0 and ``GENESIS`` when empty): it
    shows records missing at the end.
    """
    last: tuple[int, str, str] = (0, GENESIS, "the beginning")
    for broken, state in _walk(records):
        if broken:
            return broken
        last = state
    sequence, last_hash, _ = last
    if sequence < head[0]:
        return Break(
            record=f"#{sequence + 1}",
            sequence=sequence + 1,
            reason=f"records {sequence + 1} to {head[0]} are missing at the end",
        )
    if (sequence, last_hash) != head:
        return Break(
            record=f"#{sequence}", sequence=sequence, reason="the last record is not the one noted"
        )
    return None


def trouble_with(record: GateRecord, before: str | None, after: str | None) -> str | None:
    """Return what is wrong with one record of the chain; None when it holds.

    ``before`` is the hash of the record before it, ``after`` what the next one, or the head, says
    that this one's hash is; None where there is no such record.
    """
    if digest(record.content()) != record.hash:
        return _CHANGED
    if before != record.previous_hash:
        return _REPLACED
    return None if after == record.hash else "what comes after it follows another record"


def _walk(
    records: Iterable[tuple[int, GateRecord]],
) -> Iterator[tuple[Break | None, tuple[int, str, str]]]:
    expected, previous = 1, GENESIS
    for sequence, record in records:
        reason = None
        if sequence != expected:
            reason = f"record {expected} is missing: {sequence} stands in its place"
        elif digest(record.content()) != record.hash:
            reason = _CHANGED
        elif record.previous_hash != previous:
            reason = _REPLACED
        broken = Break(record=record.id, sequence=sequence, reason=reason) if reason else None
        yield broken, (sequence, record.hash, record.id)
        expected, previous = sequence + 1, record.hash
