"""Whether to retrain a model, or to go back to the version before it: facts, decision, record.

The decision and its record are one transaction under the ledger's lock, so that of two decisions at
once only one finds that no retraining is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.comparison import (
    RollbackDecision,
    decide_rollback,
    find_pair,
)
from airflow_ai_provider.core.feedback.policy import (
    Champion,
    RetrainDecision,
    RetrainPolicy,
    decide,
    read_date,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, GateRecord, Origin, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_opinions import came_in_after
from airflow_ai_provider.store.gpu_usage import used_hours
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.retraining import last_decided, under_way

PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a decision is made from.

    ``metrics`` is what the metrics operator returned; ``drift`` the share of columns that drifted;
    ``project`` is whose GPU hours count; ``previous`` the version before the champion, which the
    ledger tells unless said.
    """

    model_name: str
    policy: RetrainPolicy
    metrics: Mapping[str, Any] | None
    champion: Champion | None
    partition: str
    window_end: date
    newest_data: date | None
    in_flight: bool = False
    drift: float | None = None
    project: str | None = None
    previous: str | None = None

    @property
    def subject(self) -> str:
        """What the record is about."""
        version = f"/{self.champion.version}" if self.champion else ""
        return f"mlflow://{self.model_name}{version}"

    @property
    def figures(self) -> dict[str, Any] | None:
        """The champion's figures among all that were measured, without the slices."""
        if self.metrics is None or self.champion is None:
            return None
        for found in self.metrics.get("versions", ()):
            if str(found["version"]) == self.champion.version:
                return {name: value for name, value in found.items() if name != "slices"}
        return None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision (``retrain``, ``rollback`` or ``none``) with its records."""

    decision: str
    retrain: RetrainDecision
    record: GateRecord
    rollback: RollbackDecision | None = None
    rollback_record: GateRecord | None = None


class RetrainingService:
    """Decisions on retraining in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ledger = Ledger(store)

    def weigh(self, facts: Facts) -> tuple[RetrainDecision, GateDraft]:
        """Decide on retraining and return the decision with the gate record to be written."""
        decision = self._decide(facts, origin=Origin(), in_flight=facts.in_flight)
        return decision, _draft(facts, decision)

    def decide(
        self,
        facts: Facts,
        *,
        origin: Origin,
        decided_by: str,
        key: Callable[[GateDraft], str] | None = None,
    ) -> Decided:
        """Decide, and put it on record: retrain, roll back, or neither.

        A retraining that was decided and has not led to a judged candidate is under way, unless it
        is the decision of this very task (``origin``), made by an earlier try. A champion that fell
        below the version before it is not retrained: the way back is shorter.
        """
        back = self._rollback(facts)
        prepared = self._prepare(facts, origin)
        with self.store.write() as connection:
            self.ledger.lock(connection)
            standing = under_way(
                connection,
                facts.model_name,
                now=self.store.utcnow(connection),
                within=timedelta(hours=facts.policy.in_flight_hours),
                but_of=origin,
            )
            decision = prepared(facts.in_flight or standing is not None)
            if back is not None and back.roll_back and decision.retrain:
                decision = replace(
                    decision, retrain=False, summary=f"Do not retrain. {back.summary}"
                )
            draft = replace(_draft(facts, decision), origin=origin, decided_by=decided_by)
            if standing is not None:
                draft = replace(draft, evidence={**draft.evidence, "under_way": standing})
            record = self.ledger.append_in(connection, draft, key=key(draft) if key else None)
            returned = None
            if back is not None and back.roll_back:
                way_back = replace(
                    _rollback_draft(facts, back, record.id), origin=origin, decided_by=decided_by
                )
                returned = self.ledger.append_in(
                    connection, way_back, key=key(way_back) if key else None
                )
        choice = "rollback" if returned else "retrain" if decision.retrain else "none"
        return Decided(
            decision=choice,
            retrain=decision,
            record=record,
            rollback=back,
            rollback_record=returned,
        )

    def _decide(self, facts: Facts, *, origin: Origin, in_flight: bool) -> RetrainDecision:
        return self._prepare(facts, origin)(in_flight)

    def _prepare(self, facts: Facts, origin: Origin) -> Callable[[bool], RetrainDecision]:
        """Read what the store knows, and return the decision but for what is under way."""
        policy, name = facts.policy, facts.model_name
        ends, since = last_decided(self.store, name, before=facts.window_end, but_of=origin)
        came_in = came_in_after(self.store, name, since) if policy.min_new_feedback else None
        gpu = None
        if policy.gpu_hours is not None:
            gpu = used_hours(self.store, project=facts.project, days=policy.gpu_days)
        return lambda in_flight: decide(
            policy,
            champion=facts.champion,
            metrics=facts.figures,
            window_end=facts.window_end,
            newest_data=facts.newest_data,
            last_retrain=ends,
            in_flight=in_flight,
            drifted=facts.drift,
            came_in=came_in,
            gpu=gpu,
        )

    def _rollback(self, facts: Facts) -> RollbackDecision | None:
        policy = facts.policy.rollback
        if policy is None:
            return None
        champion = facts.champion.version if facts.champion else None
        previous = facts.previous or (self.previous(facts.model_name) if champion else None)
        pair = None
        if champion and previous and facts.metrics:
            pair = find_pair(facts.metrics.get("pairs", ()), champion, previous, policy.metric)
        return decide_rollback(policy, champion=champion, previous=previous, pair=pair)

    def previous(self, model_name: str, environment: str = PRODUCTION) -> str | None:
        """Return the version that was in an environment before the one that is, by the ledger."""
        from airflow_ai_provider.core.promotion.rollback import Placed, standing
        from airflow_ai_provider.services.promotion.timeline import moves

        stack = standing(
            [
                Placed(version=said["to"], is_rollback=record.kind == GateKind.ROLLBACK.value)
                for record in moves(model_name, self.ledger)
                if (said := record.evidence)["environment"] == environment
            ]
        )
        return stack[-2] if len(stack) > 1 else None


def _draft(facts: Facts, decision: RetrainDecision) -> GateDraft:
    return GateDraft(
        kind=GateKind.RETRAIN,
        subject=facts.subject,
        verdict=Verdict.PASS if decision.retrain else Verdict.FAIL,
        criteria=decision.criteria,
        evidence={**_evidence(facts), "metrics": facts.figures, "summary": decision.summary},
        origin=Origin(),
    )


def _rollback_draft(facts: Facts, back: RollbackDecision, retrain_record: str) -> GateDraft:
    # no "environment": that would make it a record of a move that was made
    return GateDraft(
        kind=GateKind.ROLLBACK,
        subject=facts.subject,
        verdict=Verdict.PASS,
        criteria=back.criteria,
        evidence={
            **_evidence(facts),
            "previous": back.criteria[0].observed,
            "retrain_record": retrain_record,
            "summary": back.summary,
        },
        origin=Origin(),
    )


def _evidence(facts: Facts) -> dict[str, Any]:
    return {
        "model_name": facts.model_name,
        "partition": facts.partition,
        "window_end": facts.window_end,
        "newest_data": facts.newest_data,
        "champion": asdict(facts.champion) if facts.champion else None,
        "policy": asdict(facts.policy),
    }


def read_policy(policy: Mapping[str, Any] | str | Path) -> RetrainPolicy:
    """Return a policy from a mapping, or from the YAML file at a path.

    :raises RetrainPolicyError: there is no such file, or it means nothing.
    """
    if isinstance(policy, Mapping):
        return RetrainPolicy.from_dict(policy)
    import yaml

    try:
        found = yaml.safe_load(Path(policy).expanduser().read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RetrainPolicyError(
            f"The retrain policy {policy} cannot be read: {error}.", remedy="Check the file."
        ) from error
    return RetrainPolicy.from_dict(found)


def read_champion(found: Mapping[str, Any] | None) -> Champion | None:
    """Return the champion that a mapping names: ``version``, ``trained_through``.

    :raises RetrainPolicyError: it names no version, or a day that is none.
    """
    if not found:
        return None
    if found.get("version") is None:
        raise RetrainPolicyError(
            "The champion names no version.", remedy="Give {version, trained_through}, or None."
        )
    through = found.get("trained_through") or (found.get("training") or {}).get("through")
    return Champion(
        version=str(found["version"]),
        trained_through=read_date(through, "trained_through") if through else None,
    )


def read_drift(found: Any) -> float | None:
    """Return the share of columns that drifted: a number, or what a drift gate returned.

    :raises RetrainPolicyError: it is neither.
    """
    if found is None or found == "":
        return None
    if isinstance(found, Mapping) and {"drifted", "compared"} <= set(found):
        return int(found["drifted"]) / int(found["compared"]) if found["compared"] else None
    try:
        share = float(found)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise RetrainPolicyError(
            f"drift is {found!r}.",
            remedy="Give the share of columns that drifted, or what DriftGateOperator returned.",
        )
    return share
