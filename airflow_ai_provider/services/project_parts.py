"""The parts of what is to be seen of a project: gates, models, resources, next decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict, plain
from airflow_ai_provider.core.lifecycle.project import PHASES
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.services.promotion.timeline import MOVES, was_made
from airflow_ai_provider.store.project_figures import DeviceUse


def gates_of(records: Sequence[GateRecord], sight: Sight = EVERYTHING) -> list[dict[str, Any]]:
    """Return decisions with what each was decided on, without what is out of ``sight``.

    ``{"record", "kind", "subject", "verdict", "at", "by", "why", "criteria", "dag_id", "run_id",
    "task_id", "map_index"}``; ``why`` says what spoke against it, or how many criteria were met.
    """
    return [
        {
            "record": r.id,
            "kind": r.kind,
            "subject": r.subject,
            "verdict": r.verdict,
            "at": r.created_at,
            "by": r.decided_by,
            "why": sight.cut(_why(r)),
            "criteria": [
                {k: plain(c.get(k)) for k in ("name", "verdict", "limit", "observed", "sentence")}
                for c in sight.cut(r.criteria)
            ],
            "dag_id": r.dag_id,
            "run_id": r.run_id,
            "task_id": r.task_id,
            "map_index": r.map_index,
        }
        for r in records
    ]


def seen_plan(plan: Mapping[str, Any], sight: Sight) -> Mapping[str, Any]:
    """Return ``plan`` without the models that are out of ``sight``, and what is told of them."""
    uses = [use for use in plan.get("use_cases") or () if sight.shows_model(str(use["name"]))]
    kpis = list(sight.cut(plan.get("kpis") or ()))
    gone = {str(kpi["name"]) for kpi in plan.get("kpis") or ()} - {str(k["name"]) for k in kpis}
    risks = [
        risk
        for risk in sight.cut(plan.get("risks") or ())
        if (risk.get("trigger") or {}).get("kpi") not in gone
    ]
    return {**plan, "use_cases": uses, "kpis": kpis, "risks": risks}


def models_of(plan: Mapping[str, Any], records: Sequence[GateRecord]) -> list[dict[str, Any]]:
    """Return each use case with the version that holds in each environment.

    ``{"name", "title", "pilot", "environments": {environment: {"version", "since", "by", "why",
    "record"}}}``; how it came there is in the record.
    """
    found = []
    for use in plan.get("use_cases") or ():
        held: dict[str, Any] = {}
        for record in records:  # the newest first: the first move of an environment holds
            if GateKind(record.kind) not in MOVES or not was_made(record):
                continue
            if record.subject.startswith(f"mlflow://{use['name']}/"):
                held.setdefault(
                    str(record.evidence["environment"]),
                    {
                        "version": record.evidence.get("to"),
                        "since": record.created_at,
                        "by": record.decided_by,
                        "why": str(record.evidence.get("why") or ""),
                        "record": record.id,
                    },
                )
        found.append(
            {
                "name": use["name"],
                "title": use.get("title"),
                "pilot": bool(use.get("pilot")),
                "environments": {e: h for e, h in held.items() if h["version"] is not None},
            }
        )
    return found


def resources_of(
    plan: Mapping[str, Any], uses: Sequence[DeviceUse], spent: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the budget of each phase beside what was used.

    ``{"phase", "people_days", "gpu_hours", "gpu_hours_used", "gpu_hours_shared", "storage_gib",
    "money", "money_spent", "surplus", "over"}``; ``gpu_hours_used`` counts whole devices of leases
    that are still kept, ``money_spent`` is None where nobody said it. Phase None holds the devices
    of tasks that named no phase.
    """
    budget = plan.get("budget") or {}
    used = {use.phase: use for use in uses}
    rows = []
    for phase in [*PHASES, None]:
        amount, use = budget.get(phase) if phase else None, used.get(phase)
        if amount is None and use is None and (phase is None or phase not in spent):
            continue
        said = amount or {}
        hours = use.whole_hours if use else 0.0
        allowed = (said.get("gpu_hours") or 0.0) * (1 + (said.get("surplus") or 0.0))
        rows.append(
            {
                "phase": phase,
                **{
                    k: said.get(k)
                    for k in ("people_days", "gpu_hours", "storage_gib", "money", "surplus")
                },
                "gpu_hours_used": round(hours, 3),
                "gpu_hours_shared": round(use.shared_hours, 3) if use else 0.0,
                "money_spent": spent.get(phase) if phase else None,
                "over": bool(amount) and hours > allowed,
            }
        )
    return rows


def decisions_next(
    standing: Mapping[str, Any],
    risks: Sequence[Mapping[str, Any]],
    pending: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return what somebody has to decide or do next: ``{"what", "who", "since", "why"}``."""
    found = [
        {"what": str(p["what"]), "who": p.get("who"), "since": p.get("since"), "why": "approval"}
        for p in pending
    ]
    found += [
        {
            "what": f"Answer the risk {risk['name']}",
            "who": risk["owner"],
            "since": None,
            "why": risk["fired"],
        }
        for risk in risks
        if risk["fired"]
    ]
    late = {entry["name"]: entry["why"] for entry in standing["timeline"]["late"]}
    found += [
        {
            "what": f"Finish the milestone {waited['milestone']}",
            "who": waited["person"] or waited["role"],
            "since": waited["since"],
            "why": late.get(waited["milestone"], "it is next"),
        }
        for waited in standing["waiting_for"]
    ]
    if standing["next_gate"]:
        found.append(
            {
                "what": f"Decide whether the project may leave {standing['next_gate']}",
                "who": None,
                "since": None,
                "why": "the gate of this phase has not let it go",
            }
        )
    return found


def _why(record: GateRecord) -> str:
    said = record.evidence.get("summary") or record.evidence.get("why")
    if said:
        return str(said)
    told = [str(c["sentence"]) for c in record.criteria if c["verdict"] != Verdict.PASS]
    if told:
        return " ".join(told[:2]) + (f" And {len(told) - 2} more." if len(told) > 2 else "")
    count = len(record.criteria)
    return f"All {count} criteria are met." if count else f"Decided by {record.decided_by}."
