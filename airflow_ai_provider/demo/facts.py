"""What the report tells, as plain values: read once, at the end of the life."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.demo.people import Answer

_MODEL_SCHEME = "mlflow://"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a DAG."""

    dag_id: str
    run_id: str
    state: str
    began: datetime
    ended: datetime
    by_asset: bool


@dataclass(frozen=True, kw_only=True)
class LeaseUse:
    """One lease on one device; ``ended`` is None while it lives."""

    lease: str
    device: str
    task: str
    state: str
    began: datetime
    ended: datetime | None


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """One version in one environment; ``until`` is None while it stands there."""

    model: str
    environment: str
    version: str
    since: datetime
    until: datetime | None
    why: str


@dataclass(frozen=True, kw_only=True)
class LiveMonth:
    """How one version did on one month that it had predicted, once the outcomes were in."""

    model: str
    version: str
    month: str
    figures: Mapping[str, tuple[float, float | None, float | None]]  # value, low, high
    n: int

    def value(self, metric: str) -> float | None:
        """Return the figure itself; None when it was not measured."""
        figure = self.figures.get(metric)
        return None if figure is None else figure[0]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything in the report."""

    runs: Sequence[Run]
    records: Sequence[GateRecord]
    leases: Sequence[LeaseUse]
    live: Sequence[LiveMonth]
    answers: Sequence[Answer]

    @property
    def began(self) -> datetime:
        """The beginning of the first run."""
        return min((run.began for run in self.runs), default=datetime.now(timezone.utc))

    @property
    def ended(self) -> datetime:
        """The end of the last run."""
        return max((run.ended for run in self.runs), default=self.began)

    @property
    def tenures(self) -> list[Tenure]:
        """Which version stood in which environment when, by the ledger."""
        return tenures(self.records)


def runs_of(answers: Iterable[Mapping[str, Any]], now: datetime) -> list[Run]:
    """Return the runs that Airflow's API listed, those that began."""
    return [
        Run(
            dag_id=run["dag_id"],
            run_id=run["dag_run_id"],
            state=run["state"],
            began=_moment(run["start_date"]),
            ended=_moment(run["end_date"]) if run.get("end_date") else now,
            by_asset=run.get("run_type") == "asset_triggered",
        )
        for run in answers
        if run.get("start_date")
    ]


def tenures(records: Iterable[GateRecord]) -> list[Tenure]:
    """Return who stood where when, from the records of promotions and rollbacks."""
    found: list[Tenure] = []
    standing: dict[tuple[str, str], int] = {}
    for record in records:
        moved = record.kind in {GateKind.PROMOTION, GateKind.ROLLBACK} and record.verdict != "fail"
        environment = record.evidence.get("environment")
        if not moved or not environment:
            continue
        model, _, version = record.subject.removeprefix(_MODEL_SCHEME).rpartition("/")
        since = _moment(record.created_at)
        key = (model, str(environment))
        if key in standing:
            found[standing[key]] = _ended(found[standing[key]], since)
        standing[key] = len(found)
        found.append(
            Tenure(
                model=model,
                environment=str(environment),
                version=version,
                since=since,
                until=None,
                why=str(record.evidence.get("why") or record.decided_by),
            )
        )
    return found


def _ended(tenure: Tenure, until: datetime) -> Tenure:
    return Tenure(**{**tenure.__dict__, "until": until})


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
