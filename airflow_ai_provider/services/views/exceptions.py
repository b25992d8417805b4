"""The exception queue as a page shows it: what a person looks at, what waits, what was answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.exceptions import CaseState, SeatState
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_rows import is_in
from airflow_ai_provider.store.exceptions import MOST_CLAIMED
from airflow_ai_provider.store.schema import exception_case as cases
from airflow_ai_provider.store.schema import exception_seat as seats

PER_PAGE = 20
HELD_SHOWN = 20
_ANSWERED_SHOWN = 5
_FACTS, _FACT = 40, 2000  # facts of a case, characters of one
_BRIEF_FACTS, _BRIEF = 6, 160  # of a case that nobody looks at yet

May = Callable[[str | None], bool]


def exceptions_view(
    store: Store,
    *,
    person: str,
    may_see: May,
    may_answer: May,
    model: str = "",
    page: int = 1,
    sight: Sight = EVERYTHING,
) -> dict[str, Any]:
    """Return ``mine`` (cases that ``person`` looks at), one page of ``waiting``, and ``answered``.

    ``may_see`` and ``may_answer`` decide by the DAG that queued a case. Each case has ``form``: the
    person may answer it; one that waits has ``free``, or else ``why_not``. ``answered`` are the
    person's own newest answers, of all that are recorded as they are kept. Models out of ``sight``
    are left out.
    """
    with store.read() as connection:
        now = store.utcnow(connection)
        queued_by = sa.select(cases.c.dag_id).where(is_in(cases, CaseState.OPEN)).distinct()
        dags = connection.execute(queued_by).scalars().all()
        seen = [dag for dag in dags if may_see(dag)]
        may = {dag: may_answer(dag) for dag in seen}
        in_sight = cases.c.model_name.not_in(sorted(sight.models))
        visible = sa.and_(_of_dags(seen), in_sight)
        if model:
            visible = sa.and_(visible, cases.c.model_name.icontains(model, autoescape=True))
        held = connection.execute(_held_by(person, now).where(in_sight)).mappings().all()
        free = connection.execute(_waiting(visible, person, now, page)).mappings().all()
        counts = connection.execute(_counts(visible, now)).one()
        said = connection.execute(_answered_by(person).where(in_sight)).mappings().all()
    return {
        "mine": [_held(row, now, may) for row in held[:HELD_SHOWN]],
        "held": len(held),
        "most": MOST_CLAIMED,
        "waiting": [_waits(row, now, may, person) for row in free[:PER_PAGE]],
        "open": int(counts.open),
        "oldest_s": None if counts.oldest is None else (now - counts.oldest).total_seconds(),
        "may_answer": counts.open > 0 and any(may.values()),
        "answered": [_said(row) for row in said],
        "page": {"number": page, "more": len(free) > PER_PAGE},
        "model": model,
    }


def _of_dags(dags: Sequence[str | None]) -> sa.ColumnElement[bool]:
    named = cases.c.dag_id.in_([dag for dag in dags if dag is not None])
    return sa.or_(named, cases.c.dag_id.is_(None)) if None in dags else named


def _is_open(now: Any) -> sa.ColumnElement[bool]:
    """Condition: the next change of the queue leaves the case open."""
    nobody_looks = cases.c.taken == cases.c.answers
    expires = sa.and_(sa.func.coalesce(cases.c.due_at <= now, sa.false()), nobody_looks)
    return sa.and_(is_in(cases, CaseState.OPEN), ~expires)


def _held_by(person: str, now: Any) -> sa.Select[Any]:
    return (
        sa.select(cases, seats.c.expires_at)
        .join(seats, seats.c.case_id == cases.c.id)
        .where(
            seats.c.person == person,
            is_in(seats, SeatState.CLAIMED),
            is_in(cases, CaseState.OPEN),
            seats.c.expires_at > now,
        )
        .order_by(seats.c.claimed_at, cases.c.id)
    )


def _waiting(visible: sa.ColumnElement[bool], person: str, now: Any, page: int) -> sa.Select[Any]:
    mine = sa.and_(seats.c.case_id == cases.c.id, seats.c.person == person)
    others = seats.alias()
    late = (
        sa.select(sa.func.count())
        .where(
            others.c.case_id == cases.c.id,
            others.c.state == SeatState.CLAIMED.value,
            others.c.expires_at <= now,
        )
        .scalar_subquery()
    )
    looked_at = sa.and_(is_in(seats, SeatState.CLAIMED), seats.c.expires_at > now)
    return (
        sa.select(cases, seats.c.state.label("seat"), late.label("late"))
        .outerjoin(seats, mine)
        .where(visible, _is_open(now), ~sa.func.coalesce(looked_at, sa.false()))
        .order_by(cases.c.urgency.desc(), cases.c.created_at, cases.c.id)
        .limit(PER_PAGE + 1)
        .offset((page - 1) * PER_PAGE)
    )


def _counts(visible: sa.ColumnElement[bool], now: Any) -> sa.Select[Any]:
    oldest = sa.type_coerce(sa.func.min(cases.c.created_at), cases.c.created_at.type)
    return sa.select(sa.func.count().label("open"), oldest.label("oldest")).where(
        visible, _is_open(now)
    )


def _answered_by(person: str) -> sa.Select[Any]:
    return (
        sa.select(
            cases.c.model_name,
            cases.c.prediction_id,
            cases.c.labels,
            seats.c.answer,
            seats.c.answered_at,
        )
        .join(seats, seats.c.case_id == cases.c.id)
        .where(seats.c.person == person, is_in(seats, SeatState.ANSWERED))
        .order_by(seats.c.answered_at.desc(), cases.c.id)
        .limit(_ANSWERED_SHOWN)
    )


def _held(row: Mapping[Any, Any], now: Any, may: Mapping[str | None, bool]) -> dict[str, Any]:
    return {
        **_case(row, now, facts=_FACTS, length=_FACT),
        "until": row["expires_at"],
        "left_s": (row["expires_at"] - now).total_seconds(),
        "form": may.get(row["dag_id"], False),
        "score": row["score"],
        "labels": [{"shown": name, "label": label} for name, label in row["labels"].items()],
    }


def _waits(
    row: Mapping[Any, Any], now: Any, may: Mapping[str | None, bool], person: str
) -> dict[str, Any]:
    why_not = _why_not(row, person)
    return {
        **_case(row, now, facts=_BRIEF_FACTS, length=_BRIEF),
        "form": may[row["dag_id"]],
        "free": not why_not,
        "why_not": why_not,
    }


def _why_not(row: Mapping[Any, Any], person: str) -> str:
    if row["seat"] == SeatState.ANSWERED.value:
        return "You have answered it."
    if row["seat"] == SeatState.RETURNED.value:
        return "You could not tell."
    if row["assigned_to"] and person not in row["assigned_to"]:
        return "It is assigned to others."
    taken = row["taken"] - row["late"]
    return "Somebody looks at it now." if taken >= row["people"] else ""


def _case(row: Mapping[Any, Any], now: Any, *, facts: int, length: int) -> dict[str, Any]:
    names = ("id", "model_name", "model_version", "prediction_id", "partition", "urgency", "people")
    shown = [(str(name), _text(value)) for name, value in row["facts"].items()]
    return {
        **{name: row[name] for name in names},
        "reasons": [reason.replace("_", " ") for reason in row["reasons"]],
        "facts": [(_cut(name, 100), _cut(value, length)) for name, value in shown[:facts]],
        "more_facts": max(0, len(shown) - facts),
        "answers": row["answers"],
        "looking": row["taken"] - row["answers"] - row.get("late", 0),
        "assigned_to": list(row["assigned_to"]),
        "since": row["created_at"],
        "age_s": (now - row["created_at"]).total_seconds(),
        "due": row["due_at"],
    }


def _said(row: Mapping[Any, Any]) -> dict[str, Any]:
    answer = row["answer"] or {}
    names = {json.dumps(label): name for name, label in row["labels"].items()}
    label = answer.get("label")
    return {
        "model_name": row["model_name"],
        "prediction_id": row["prediction_id"],
        "said": names.get(json.dumps(label), _text(label)) if label is not None else "",
        "score": answer.get("score"),
        "comment": _cut(answer.get("comment") or "", _FACT),
        "at": row["answered_at"],
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"
