"""A project half way through its pilot, in a store: what the views and the report are tested on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Origin, Verdict
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.services.lifecycle import load_project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device, project

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
NAME = "flight_delays"
HOSTILE = "<script>alert('x')</script>\"&|`[a](javascript:b)\n# <img src=x onerror=b>"


def plan_of(**changes: Any) -> dict[str, Any]:
    """Return the template's plan, its KPIs and risks without measures, with some fields changed."""
    plan = load_project(TEMPLATE).model_dump(mode="json")
    plan["kpis"] = [{**kpi, "measure": None} for kpi in plan["kpis"]]
    plan["risks"] = [{**risk, "trigger": None} for risk in plan["risks"]]
    return {**plan, **changes}


def note(store: Store, plan: dict[str, Any], *, phase: str = "pilot", days_ago: int = 30) -> None:
    """Put a project into the store that was begun so many days ago."""
    Projects(store).note(
        name=plan["name"],
        title=plan["title"],
        owner=plan["owner"],
        path="p.yaml",
        digest="0" * 64,
        plan=plan,
        text=f"name: {plan['name']}",
    )
    with store.write() as connection:
        began = store.utcnow(connection) - timedelta(days=days_ago)
        connection.execute(
            project.update()
            .where(project.c.name == plan["name"])
            .values(phase=phase, created_at=began)
        )


def decide(
    store: Store,
    subject: str,
    *,
    kind: GateKind = GateKind.PHASE,
    verdict: Verdict = Verdict.PASS,
    criteria: tuple[Criterion, ...] = (),
    **evidence: Any,
) -> str:
    """Write a gate record and return its id."""
    draft = GateDraft(
        kind=kind, subject=subject, verdict=verdict, criteria=criteria, evidence=evidence,
        decided_by="grace", origin=Origin(dag_id="pilot", run_id="r1", task_id="gate"),
    )  # fmt: skip
    return Ledger(store).append(draft).id


def criterion(name: str, verdict: Verdict, observed: Any, sentence: str) -> Criterion:
    return Criterion(name=name, limit=0.7, observed=observed, verdict=verdict, sentence=sentence)


def lived(store: Store, plan: dict[str, Any] | None = None) -> None:
    """Let a project leave discovery, judge a candidate twice, promote it, measure it, use GPUs."""
    plan = plan or plan_of()
    name = plan["name"]
    note(store, plan)
    for definition in MILESTONES:
        decide(store, f"project://{name}/discovery/{definition.name}")
    decide(store, f"project://{name}/discovery")
    for verdict, score in ((Verdict.FAIL, 0.61), (Verdict.PASS, 0.74)):
        told = f"The ranking quality is {score}, 0.7 is asked for."
        found = (criterion("ranking_quality", verdict, score, told),)
        decide(store, f"mlflow://{NAME}/1", kind=GateKind.MODEL, verdict=verdict, criteria=found)
    decide(
        store, f"mlflow://{NAME}/1", kind=GateKind.PROMOTION,
        environment="production", to="1", why="better by 2 points",
    )  # fmt: skip
    decide(store, "ai-data://flights/2013-05", kind=GateKind.DATA, verdict=Verdict.FAIL,
           criteria=(criterion("rows", Verdict.FAIL, HOSTILE, HOSTILE),))  # fmt: skip
    MetricSeries(store).write(
        [
            {"model_name": NAME, "model_version": "1", "partition": f"2013-0{month}", "slice": "",
             "metric": "trusted_probability", "value": 0.01 * month, "low": None, "high": None,
             "n": 100}
            for month in (1, 2, 3)
        ]
    )  # fmt: skip
    hold(store, name, phase="pilot", hours=2, devices=2)
    hold(store, name, phase="pilot", hours=1, devices=1, memory_mib=1024)
    hold(store, "another", phase="pilot", hours=9, devices=4)


def hold(
    store: Store, project_name: str, *, phase: str, hours: float, devices: int,
    memory_mib: int | None = None,
) -> None:  # fmt: skip
    """Put a lease that was held and released into the store."""
    with store.write() as connection:
        now = store.utcnow(connection)
        count = connection.execute(sa.select(sa.func.count()).select_from(lease)).scalar_one()
        at = now - timedelta(hours=hours)
        connection.execute(
            gpu_request.insert().values(
                id=f"q{count}", holder=f"h{count}", name="", state="done", place=count,
                spec={"project": project_name, "phase": phase}, priority=0, claim_within=60.0,
                reason="", enqueued_at=at,
            )
        )  # fmt: skip
        connection.execute(
            lease.insert().values(
                id=f"l{count}", request_id=f"q{count}", fence=count + 1, state="released",
                host="h", expires_at=0.0, revoked=False, reason="", granted_at=at,
                activated_at=at, released_at=now,
            )
        )  # fmt: skip
        for number in range(devices):
            connection.execute(
                lease_device.insert().values(
                    lease_id=f"l{count}", host="h", device_uuid=f"g{number}", epoch=count,
                    memory_mib=memory_mib, live=False,
                )
            )  # fmt: skip
