"""What another DAG may ask of a data set: that its newest gate record is good, and not too old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict

_GATES = (GateKind.DATA.value, GateKind.DRIFT.value)
_GOOD = {
    Verdict.PASS: (Verdict.PASS, Verdict.OVERRIDE),
    Verdict.WARN: (Verdict.PASS, Verdict.OVERRIDE, Verdict.WARN),
}


class Unmet(str, Enum):
    """Why a data set is not good enough."""

    NO_RECORD = "no_record"
    REFUSED = "refused"
    TOO_OLD = "too_old"
    LOW_SCORE = "low_score"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Which verdict is good enough, how old it may be, and the least score, from 0 to 1.

    Each of ``gates`` must have judged the data set so.
    """

    dataset: str
    partition: str | None = None
    verdict: Verdict = Verdict.WARN
    max_age: timedelta | None = None
    min_score: float | None = None
    gates: tuple[GateKind, ...] = (GateKind.DATA,)

    @classmethod
    def of(
        cls,
        *,
        dataset: str,
        partition: str | None = None,
        verdict: str = "warn",
        max_age: float | str | timedelta | None = None,
        min_score: float | str | None = None,
        gates: str | Sequence[str] = "data",
    ) -> Requirement:
        """Return the requirement; ``max_age`` in seconds or a ``timedelta``; ``gates`` by name.

        :raises QualityError: an argument means nothing.
        """
        if not dataset:
            raise QualityError("No data set is named.", remedy="Give dataset.")
        if verdict not in {"pass", "warn"}:
            raise QualityError(
                f"No verdict {verdict!r} can be required.",
                remedy="Use pass, or warn for data that failed lesser expectations too.",
            )
        return cls(
            dataset=dataset,
            partition=partition or None,
            verdict=Verdict(verdict),
            max_age=_age(max_age),
            min_score=_score(min_score),
            gates=_gates(gates),
        )

    @property
    def subject(self) -> str:
        """The URI of the data set or of its partition."""
        base = f"ai-data://{self.dataset}"
        return f"{base}/{self.partition}" if self.partition else base


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether a data set is good enough: the newest record, and why it does not do."""

    requirement: Requirement
    record: GateRecord | None
    reason: Unmet | None
    sentence: str

    def __bool__(self) -> bool:
        """Whether the requirement is met."""
        return self.reason is None

    @property
    def refused(self) -> bool:
        """Whether there is a record that is not good, which waiting alone does not change."""
        return self.reason in {Unmet.REFUSED, Unmet.LOW_SCORE}

    def as_json(self) -> dict[str, Any]:
        """Return it for XCom."""
        record = self.record
        return {
            "met": bool(self),
            "reason": self.reason.value if self.reason else None,
            "message": self.sentence,
            "subject": record.subject if record else self.requirement.subject,
            "record": record.id if record else None,
            "verdict": record.verdict if record else None,
            "decided_at": record.created_at if record else None,
            "score": score_of(record) if record else None,
        }


def judge(
    requirement: Requirement,
    record: GateRecord | None,
    now: datetime,
    kind: GateKind = GateKind.DATA,
) -> Standing:
    """Hold the newest ``record`` that gates of ``kind`` left to ``requirement``."""
    reason, sentence = _verdict(requirement, record, now, kind)
    return Standing(requirement=requirement, record=record, reason=reason, sentence=sentence)


def score_of(record: GateRecord) -> float | None:
    """Return the share of the gate's criteria that were met; None where it had none."""
    met = [c["verdict"] == Verdict.PASS.value for c in record.criteria]
    return round(sum(met) / len(met), 4) if met else None


def _verdict(
    requirement: Requirement, record: GateRecord | None, now: datetime, kind: GateKind
) -> tuple[Unmet | None, str]:
    if record is None:
        return Unmet.NO_RECORD, f"No {kind.value} gate has judged {requirement.subject} yet."
    told = f"The newest {kind.value} gate record of {record.subject} ({record.id})"
    if Verdict(record.verdict) not in _GOOD[requirement.verdict]:
        wanted = requirement.verdict.value
        return Unmet.REFUSED, f"{told} says {record.verdict}; {wanted} is required."
    age = now - datetime.fromisoformat(record.created_at)
    if requirement.max_age is not None and age > requirement.max_age:
        limit = requirement.max_age.total_seconds()
        return (
            Unmet.TOO_OLD,
            f"{told} is {age.total_seconds():.0f} seconds old; {limit:g} are allowed.",
        )
    score = score_of(record)
    if requirement.min_score is not None and (score is None or score < requirement.min_score):
        shown = "no score" if score is None else f"a score of {score:g}"
        return Unmet.LOW_SCORE, f"{told} has {shown}; {requirement.min_score:g} is required."
    return None, f"{told} says {record.verdict} and is {age.total_seconds():.0f} seconds old."


def _gates(given: str | Sequence[str]) -> tuple[GateKind, ...]:
    named = [given] if isinstance(given, str) else list(given)
    unknown = [name for name in named if name not in _GATES]
    if unknown or not named:
        raise QualityError(f"gates is {given!r}.", remedy=f"Name some of {', '.join(_GATES)}.")
    return tuple(GateKind(name) for name in named)


def _age(given: float | str | timedelta | None) -> timedelta | None:
    if given is None or isinstance(given, timedelta):
        found = given
    else:
        try:
            found = timedelta(seconds=float(given))
        except (TypeError, ValueError, OverflowError) as error:
            raise QualityError(
                f"max_age is {given!r}.", remedy="Give seconds, or a timedelta."
            ) from error
    if found is not None and found < timedelta(0):
        raise QualityError(f"max_age is {given!r}.", remedy="Give an age that is not negative.")
    return found


def _score(given: float | str | None) -> float | None:
    if given is None:
        return None
    try:
        found = float(given)
    except (TypeError, ValueError) as error:
        raise QualityError(
            f"min_score is {given!r}.", remedy="Give a share from 0 to 1."
        ) from error
    if not 0 <= found <= 1:
        raise QualityError(f"min_score is {given!r}.", remedy="Give a share from 0 to 1.")
    return found
