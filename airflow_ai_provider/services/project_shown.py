"""Where a project stands, as the store knows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.gate import GateKind, Verdict
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.services.findings import Finder
from airflow_ai_provider.services.kpi_values import Address, fired_risks, kpi_values
from airflow_ai_provider.store.engine import Store

_KINDS = (GateKind.PHASE, GateKind.OVERRIDE)


def shown(
    store: Store, name: str, *, address: Address | None = None, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """Return phase, milestones, newest gates, KPIs, risks that fired and versions of a project.

    :raises LifecycleError: the store does not know it, or it is out of ``sight``.
    """
    finder = Finder(store)
    row = finder.projects.get(name)
    if row is None or not sight.shows_project(name):
        raise LifecycleError(
            f"The store knows no project {name}.",
            remedy="Run its discovery, or: airflow-ai project refine FILE",
        )
    project = Project.model_validate(row.plan, strict=False)
    done = finder.milestones_done(name)
    values = [
        value
        for kpi, value in zip(
            project.kpis, kpi_values(project, store, address=address), strict=True
        )
        if sight.cut([kpi.model_dump(mode="json")])
    ]
    risks = [risk.model_dump(mode="json") for risk in project.risks]
    seen = {risk["name"] for risk in sight.cut(risks)}
    return {
        "name": name,
        "title": row.title,
        "owner": row.owner,
        "phase": row.phase,
        "path": row.path,
        "digest": row.digest,
        "milestones": [
            {"name": m.name, "title": m.title, "done": m.name in done, "record": done.get(m.name)}
            for m in MILESTONES
        ],
        "gates": _gates(finder, name, sight),
        "kpis": [asdict(value) for value in values],
        "risks": {k: v for k, v in fired_risks(project, values).items() if k in seen},
        "live_models": [m for m in finder.live_models(project) if sight.shows_model(m)],
        "versions": [
            {"digest": version.digest, "at": version.at}
            for version in finder.projects.versions(name)
        ],
    }


def _gates(finder: Finder, name: str, sight: Sight) -> list[dict[str, Any]]:
    """Return the newest decision on each phase and pilot."""
    found = finder.ledger.search(kinds=_KINDS, subject_or_below=f"project://{name}")
    newest = {record.subject: record for record in found}  # oldest first: the newest stays
    return [
        {
            "subject": record.subject,
            "verdict": record.verdict,
            "at": record.created_at,
            "by": record.decided_by,
            "record": record.id,
            "failed": [
                c["sentence"]
                for c in sight.cut(record.criteria)
                if not Verdict(c["verdict"]).lets_pass
            ],
        }
        for record in newest.values()
        if sight.shows_subject(record.subject)
    ]
