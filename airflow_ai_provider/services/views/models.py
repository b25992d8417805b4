"""The models as a page shows them: where each version is, what came before, and what is wrong."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.services.promotion.timeline import history
from airflow_ai_provider.services.promotion.watching import open_alarms
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.model_places import ModelPlaces

PER_PAGE = 50
_JUDGED = (GateKind.MODEL, GateKind.APPROVAL)
_GATES = 20


def models_view(
    store: Store, *, search: str = "", page: int = 1, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """Return one page of models, by name: each with the version that holds each environment."""
    names, more = ModelPlaces(store).names(
        search=search, limit=PER_PAGE, offset=(page - 1) * PER_PAGE, but=sight.models
    )
    places = ModelPlaces(store).of(names)
    models = [{"name": name, "places": places.get(name, {})} for name in names]
    extra = {env for model in models for env in model["places"]} - set(DEFAULT_PATH.names)
    return {
        "models": models,
        "environments": [*DEFAULT_PATH.names, *sorted(extra)],
        "page": {"number": page, "more": more},
        "search": search,
    }


def model_view(store: Store, name: str, *, sight: Sight = EVERYTHING) -> dict[str, Any] | None:
    """Return one model: ``places``, ``history`` newest first, ``gates``, ``alarms``; None: none."""
    if not sight.shows_model(name):
        return None
    ledger = Ledger(store)
    past = history(name, ledger=ledger)
    judged = ledger.search(
        kinds=_JUDGED, subject_prefix=version_subject(name, ""), newest_first=True, limit=_GATES
    )
    if not past and not judged:
        return None
    places = {entry["environment"]: entry for entry in past if entry["to"] is None}
    environments = [*DEFAULT_PATH.names, *sorted(set(places) - set(DEFAULT_PATH.names))]
    return {
        "name": name,
        "path": [{"environment": env, "holder": places.get(env)} for env in environments],
        "champion": _champion(places, environments),
        "history": past[::-1],
        "gates": [_gate(record, sight) for record in judged],
        "alarms": [
            {"subject": alarm.subject, "at": alarm.created_at, "says": _sentence(alarm)}
            for alarm in open_alarms(name, ledger=ledger)
        ],
    }


def _champion(places: dict[str, Any], environments: list[str]) -> str | None:
    held = [env for env in environments if env in places]
    return str(places[held[-1]]["version"]) if held else None


def _gate(record: GateRecord, sight: Sight) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind,
        "version": record.subject.rpartition("/")[2],
        "verdict": record.verdict,
        "at": record.created_at,
        "by": record.decided_by,
        "dag_id": record.dag_id,
        "run_id": record.run_id,
        "task_id": record.task_id,
        "map_index": record.map_index,
        "criteria": sight.cut(record.criteria),
    }


def _sentence(record: GateRecord) -> str:
    said = [c["sentence"] for c in record.criteria if c.get("sentence")]
    return " ".join(said) or str(record.evidence.get("sentence", record.subject))
