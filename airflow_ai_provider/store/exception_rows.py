"""Rows of the exception queue: the guarded statements that its changes are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import ExceptionReviewError
from airflow_ai_provider.core.feedback.exceptions import (
    Asking,
    Case,
    CaseState,
    Finding,
    SeatState,
    sources,
)
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.store.schema import exception_case as cases
from airflow_ai_provider.store.schema import exception_seat as seats
from airflow_ai_provider.store.upsert import dialect_insert


def sweep(connection: sa.Connection, now: Any) -> None:
    """Let claims lapse whose time is over, then cases expire that nobody looks at."""
    late = connection.execute(
        seats.update()
        .where(seats.c.state.in_(sources(SeatState.LAPSED)), seats.c.expires_at <= now)
        .values(state=SeatState.LAPSED.value)
        .returning(seats.c.case_id)
    ).scalars()
    for case_id in late.all():
        free_seats(connection, case_id, 1)
    close(
        connection,
        sa.and_(cases.c.due_at <= now, cases.c.taken == cases.c.answers),
        CaseState.EXPIRED,
        now,
    )


def close(
    connection: sa.Connection, which: sa.ColumnElement[bool], target: CaseState, now: Any
) -> int:
    """Close the open cases that ``which`` names, and let who looks at them go; return how many."""
    closed = connection.execute(
        cases.update()
        .where(which, cases.c.state.in_(sources(target)))
        .values(state=target.value, closed_at=now, taken=cases.c.answers)
        .returning(cases.c.id)
    ).scalars()
    ids = closed.all()
    connection.execute(
        seats.update()
        .where(seats.c.case_id.in_(ids), seats.c.state.in_(sources(SeatState.LAPSED)))
        .values(state=SeatState.LAPSED.value)
    )
    return len(ids)


def free_cases(
    person: str, model_name: str | None, case_id: str | None, dag_ids: Sequence[str | None] | None
) -> sa.Select[Any]:
    """Return the query for cases that have a free seat for ``person``."""
    mine = sa.exists().where(
        seats.c.case_id == cases.c.id,
        seats.c.person == person,
        seats.c.state.not_in(sources(SeatState.CLAIMED)),
    )
    conditions = [is_in(cases, CaseState.OPEN), cases.c.taken < cases.c.people, ~mine]
    if model_name is not None:
        conditions.append(cases.c.model_name == model_name)
    if case_id is not None:
        conditions.append(cases.c.id == case_id)
    if dag_ids is not None:
        named = cases.c.dag_id.in_([name for name in dag_ids if name is not None])
        conditions.append(sa.or_(named, cases.c.dag_id.is_(None)) if None in dag_ids else named)
    return sa.select(cases.c.id, cases.c.assigned_to).where(*conditions).order_by(*_order())


def take(connection: sa.Connection, case_id: str, person: str, now: Any, until: Any) -> None:
    """Take a free seat at a case."""
    connection.execute(
        cases.update()
        .where(cases.c.id == case_id, is_in(cases, CaseState.OPEN), cases.c.taken < cases.c.people)
        .values(taken=cases.c.taken + 1)
    )
    statement = dialect_insert(connection, seats).values(
        case_id=case_id,
        person=person,
        state=SeatState.CLAIMED.value,
        claimed_at=now,
        expires_at=until,
    )
    renewed = {name: statement.excluded[name] for name in ("state", "claimed_at", "expires_at")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["case_id", "person"],
            set_=renewed,
            where=seats.c.state.in_(sources(SeatState.CLAIMED)),
        )
    )


def hand_over(connection: sa.Connection, case: Case, holder: str, person: str) -> None:
    """Let the seat that a task holds be the person's who answered."""
    case_id = case.id
    if case.assigned_to and person not in case.assigned_to:
        raise ExceptionReviewError(
            f"Case {case_id} is assigned to {', '.join(case.assigned_to)}, not to {person}.",
            remedy="Let one of them answer, or assign it anew.",
        )
    standing = connection.execute(
        sa.select(seats.c.state).where(seats.c.case_id == case_id, seats.c.person == person)
    ).scalar()
    if standing not in {None, SeatState.LAPSED.value}:
        raise ExceptionReviewError(
            f"{person} has {standing} case {case_id} already: one person counts once.",
            remedy="Let somebody else answer it.",
        )
    connection.execute(seats.delete().where(seats.c.case_id == case_id, seats.c.person == person))
    connection.execute(
        seats.update()
        .where(seats.c.case_id == case_id, seats.c.person == holder)
        .values(person=person)
    )


def move_seat(
    connection: sa.Connection, case_id: str, person: str, target: SeatState, **values: Any
) -> None:
    """Move a seat to ``target``, from where that is allowed."""
    moved = connection.execute(
        seats.update()
        .where(
            seats.c.case_id == case_id,
            seats.c.person == person,
            seats.c.state.in_(sources(target)),
        )
        .values(state=target.value, **values)
    )
    if moved.rowcount != 1:
        raise ExceptionReviewError(f"{person} does not look at case {case_id}.")


def free_seats(connection: sa.Connection, case_id: str, number: int) -> None:
    """Let the next person have a seat."""
    connection.execute(
        cases.update().where(cases.c.id == case_id).values(taken=cases.c.taken - number)
    )


def merge(connection: sa.Connection, case_id: str, same: Sequence[Finding]) -> bool:
    """Give a case that is there new reasons; return whether it is there."""
    row = connection.execute(
        sa.select(cases.c.reasons, cases.c.facts, cases.c.urgency).where(cases.c.id == case_id)
    ).first()
    if row is None:
        return False
    reasons = list(dict.fromkeys([*row.reasons, *(found.reason.value for found in same)]))
    if reasons != row.reasons:
        connection.execute(
            cases.update()
            .where(cases.c.id == case_id)
            .values(
                reasons=reasons,
                facts={**_facts(same), **row.facts},
                urgency=max([row.urgency, *(found.urgency for found in same)]),
            )
        )
    return True


def new_case(
    case_id: str, same: Sequence[Finding], asking: Asking, now: Any, place: int
) -> dict[str, Any]:
    """Return the row of a case."""
    first = same[0]
    return {
        "id": case_id,
        "model_name": first.model_name,
        "model_version": first.model_version,
        "prediction_id": first.prediction_id,
        "partition": first.partition,
        "state": CaseState.OPEN.value,
        "reasons": list(dict.fromkeys(found.reason.value for found in same)),
        "facts": _facts(same),
        "urgency": first.urgency,
        "people": asking.people,
        "taken": 0,
        "answers": 0,
        "assigned_to": list(asking.assigned(place)),
        "labels": dict(asking.labels),
        "score": asking.score,
        "dag_id": asking.dag_id,
        "created_at": now,
        "due_at": None if asking.max_age is None else now + timedelta(seconds=asking.max_age),
    }


def _facts(same: Sequence[Finding]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for found in same:
        facts.update(plain(found.facts))
    return facts


def read_cases(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None
) -> list[Case]:
    """Return the cases that meet the conditions, the most urgent first."""
    statement = sa.select(cases).where(*conditions).order_by(*_order()).limit(limit)
    return [_case(row._mapping) for row in connection.execute(statement)]


def _case(row: Mapping[Any, Any]) -> Case:
    values = dict(row)
    values["state"] = CaseState(values["state"])
    values["reasons"] = tuple(values["reasons"])
    values["assigned_to"] = tuple(values["assigned_to"])
    return Case(**values)


def _order() -> tuple[sa.ColumnElement[Any], ...]:
    return (cases.c.urgency.desc(), cases.c.created_at, cases.c.id)


def is_in(table: sa.Table, state: CaseState | SeatState) -> sa.ColumnElement[bool]:
    """Condition: a case or a seat is in this state."""
    condition: sa.ColumnElement[bool] = table.c.state == state.value
    return condition


def open_count(connection: sa.Connection, model_name: str) -> int:
    """Return how many cases of a model are open."""
    statement = sa.select(sa.func.count()).where(
        cases.c.model_name == model_name, is_in(cases, CaseState.OPEN)
    )
    return int(connection.execute(statement).scalar_one())


def size(connection: sa.Connection) -> int:
    """Return how many cases there are."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(cases)).scalar_one())


def count_seats(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    """Return how many seats meet the conditions."""
    statement = sa.select(sa.func.count()).select_from(seats).where(*conditions)
    return int(connection.execute(statement).scalar_one())
