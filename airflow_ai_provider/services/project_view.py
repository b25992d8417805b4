"""What is to be seen of projects, as JSON-safe values: a page, a report and a script show the same.

``board`` asks the store three questions whatever the number of projects, ``project`` six.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.core.lifecycle.calendar import WorkCalendar
from airflow_ai_provider.core.lifecycle.happened import Decided, happened, passed, subjects_of
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import PHASES
from airflow_ai_provider.core.lifecycle.timeline import Happened, timeline
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.services.project_kpis import kpis_of, risks_of, wanted
from airflow_ai_provider.services.project_parts import (
    decisions_next,
    gates_of,
    models_of,
    resources_of,
    seen_plan,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.lifecycle import ProjectRow, Projects
from airflow_ai_provider.store.model_places import ModelPlaces
from airflow_ai_provider.store.project_figures import PhaseDecided, ProjectFigures

BOARD_DRAWS = 400  # plans drawn for a card; a page draws many times as many
GATES = 200  # records that a page reads


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the store cannot know and a caller does.

    ``happened`` by milestone, from task instances or approvals; ``kpis`` by name, as points
    ``{"at": ISO 8601, "value": number}`` in order; ``problems``, why a KPI could not be looked at;
    ``fired`` by risk, a sentence each, where
    somebody looked; ``pending`` approvals, ``{"what", "who", "since"}``; ``spent`` money by
    phase; ``holidays``.
    """

    happened: Mapping[str, Happened] = field(default_factory=dict)
    kpis: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    fired: Mapping[str, str] | None = None
    pending: Sequence[Mapping[str, Any]] = ()
    spent: Mapping[str, str] = field(default_factory=dict)
    holidays: frozenset[date] = frozenset()


def board(store: Store, *, today: date, sight: Sight = EVERYTHING) -> dict[str, Any]:
    """Return every project in ``sight`` as a card, by phase, and how much is under way.

    ``{"today", "phases": [{"name", "projects", "live_models", "live_model_limit", "over",
    "cards": [...]}]}``: how many projects stand there, how many models of theirs are in production,
    how many may be, and how many projects have more than they may. A card is ``{"name", "title",
    "owner", "phase", "progress", "next_gate", "waiting_for", "late", "p50", "p90",
    "planned_finish", "live_models": [names], "live_model_limit", "updated_at", "problem"}``.
    """
    rows = [row for row in Projects(store).all() if sight.shows_project(row.name)]
    wanted = [subject for row in rows for subject in subjects_of(row.name)]
    decided: dict[str, list[PhaseDecided]] = {}
    for found in ProjectFigures(store).phase_decisions(wanted):
        name = found.subject.removeprefix("project://").partition("/")[0]
        decided.setdefault(name, []).append(found)
    live = _live_models(store, rows, sight)
    cards = [
        {
            **_card(row, decided.get(row.name, []), today),
            "live_models": live[row.name],
            "live_model_limit": row.plan.get("live_model_limit"),
        }
        for row in rows
    ]
    return {
        "today": today.isoformat(),
        "phases": [
            _phase(phase, [card for card in cards if card["phase"] == phase]) for phase in PHASES
        ],
    }


def _live_models(store: Store, rows: Sequence[ProjectRow], sight: Sight) -> dict[str, list[str]]:
    """Return the models of each project that are in production; those that retired are not."""
    named = {row.name: [str(u["name"]) for u in row.plan.get("use_cases") or ()] for row in rows}
    models = {name: [m for m in found if sight.shows_model(m)] for name, found in named.items()}
    places = ModelPlaces(store).of([name for names in models.values() for name in names])
    return {
        project: [name for name in names if DEFAULT_PATH.last in places.get(name, {})]
        for project, names in models.items()
    }


def _phase(name: str, cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    limits = [(len(card["live_models"]), int(card["live_model_limit"] or 0)) for card in cards]
    return {
        "name": name,
        "projects": len(cards),
        "live_models": sum(live for live, _ in limits),
        "live_model_limit": sum(limit for _, limit in limits),
        "over": sum(live > limit for live, limit in limits),
        "cards": list(cards),
    }


def project(
    store: Store,
    name: str,
    *,
    today: date,
    given: Given | None = None,
    sight: Sight = EVERYTHING,
) -> dict[str, Any]:
    """Return everything that is to be seen of one project by who has this ``sight``.

    ``{"name", "title", "owner", "phase", "progress", "phases", "timeline", "gates", "kpis",
    "models", "resources", "risks", "waiting_for", "decisions", ...}``, as ``project_parts`` and
    ``core.lifecycle.timeline`` describe them.

    :raises LifecycleError: the store never saw it, or it is out of sight: nobody is told which.
    """
    row = Projects(store).get(name)
    if row is None or not sight.shows_project(name):
        raise LifecycleError(
            f"The store knows no project {name}.",
            remedy="Complete its first milestone: that reads the project file.",
        )
    row = replace(row, plan=seen_plan(row.plan, sight))
    given, figures = given or Given(), ProjectFigures(store)
    decided = figures.phase_decisions(subjects_of(name))
    models = [str(use["name"]) for use in row.plan.get("use_cases") or ()]
    sources = [str(source["name"]) for source in row.plan.get("data_sources") or ()]
    needed = wanted(row.plan)
    subjects = [
        f"project://{name}",
        *(f"mlflow://{model}" for model in models),
        *(f"ai-data://{source}" for source in sources),
    ]
    found = figures.records([*dict.fromkeys([*subjects, *needed.subjects])], limit=GATES)
    records = [record for record in found if sight.shows_subject(record.subject)]
    metrics = figures.live_metrics([*models, *needed.models], needed.metrics)
    base = _standing(row, decided, today, given, draws=None)
    kpis = kpis_of(row.plan, records, metrics, given.kpis, given.problems)
    risks = risks_of(row.plan, kpis, given.fired)
    return {
        **base,
        "business_need": row.plan.get("business_need"),
        "expected_value": row.plan.get("expected_value"),
        "objectives": list(row.plan.get("objectives") or ()),
        "phases": _phases(row, base["passed"], records, sight),
        "gates": gates_of(records, sight),
        "kpis": kpis,
        "models": models_of(row.plan, records),
        "resources": resources_of(row.plan, figures.device_use(name), given.spent),
        "risks": risks,
        "decisions": decisions_next(base, risks, given.pending),
    }


def _card(row: ProjectRow, decided: Sequence[PhaseDecided], today: date) -> dict[str, Any]:
    try:
        found = _standing(row, decided, today, Given(), draws=BOARD_DRAWS)
    except LifecycleError as error:  # one plan that cannot be shown hides no other
        return {**_named(row), "progress": None, "problem": str(error), "waiting_for": []}
    times = found["timeline"]
    return {
        **_named(row),
        "progress": found["progress"],
        "next_gate": found["next_gate"],
        "waiting_for": found["waiting_for"],
        "late": times["late"],
        **{key: times[key] for key in ("planned_finish", "p50", "p90")},
        "problem": None,
    }


def _standing(
    row: ProjectRow,
    decided: Sequence[PhaseDecided],
    today: date,
    given: Given,
    *,
    draws: int | None,
) -> dict[str, Any]:
    done = passed(
        row.name, (Decided(subject=d.subject, verdict=d.verdict, at=d.at) for d in decided)
    )
    milestones = list(row.plan.get("milestones") or ())
    began = min([row.created_at, *(d.at for d in decided)]).date()
    start = date.fromisoformat(said) if (said := row.plan.get("start")) else began
    people = {role: who["user"] for role, who in (row.plan.get("people") or {}).items()}
    times = timeline(
        milestones,
        happened(milestones, done, began=began, given=given.happened),
        calendar=WorkCalendar(start=start, holidays=given.holidays),
        today=today,
        people=people,
        **({} if draws is None else {"draws": draws}),
    )
    discovery = [
        {
            "milestone": definition.name,
            "role": definition.role,
            "person": people.get(definition.role),
            "since": began.isoformat(),
        }
        for definition in MILESTONES
        if row.phase == PHASES[0]
        and definition.name not in done
        and all(before in done for before in definition.after)
    ]
    steps = [*(str(m["name"]) for m in milestones), *(d.name for d in MILESTONES)]
    finished = {m["name"] for m in times["milestones"] if m["state"] == "done"} | done.keys()
    return {
        **_named(row),
        "progress": round(sum(s in finished for s in steps) / len(steps), 3),
        "passed": {name: at.isoformat() for name, at in done.items()},
        "next_gate": row.phase if row.phase not in done and row.phase != PHASES[-1] else None,
        "timeline": times,
        "waiting_for": discovery or times["waiting_for"],
    }


def _named(row: ProjectRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title or row.name,
        "owner": row.owner,
        "phase": row.phase,
        "updated_at": row.updated_at.isoformat(),
    }


def _phases(
    row: ProjectRow, done: Mapping[str, str], records: Sequence[GateRecord], sight: Sight
) -> list[dict[str, Any]]:
    """Return the phases in order, each with when it was left and its newest gate."""
    now = PHASES.index(row.phase)
    found = []
    for number, phase in enumerate(PHASES):
        gate = next((r for r in records if r.subject == f"project://{row.name}/{phase}"), None)
        found.append(
            {
                "name": phase,
                "state": "done" if number < now else "current" if number == now else "ahead",
                "left_at": done.get(phase),
                "gate": gates_of([gate], sight)[0] if gate else None,
            }
        )
    return found
