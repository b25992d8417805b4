"""The exception queue in the store: who looks at which prediction, and what they said.

Every change of the queue is made by one writer at a time (people are slow, the queue is short), and
each is a guarded statement besides: a seat that is not there to be moved is a typed error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import ExceptionReviewError
from airflow_ai_provider.core.feedback.exceptions import (
    Answer,
    Asking,
    Case,
    CaseState,
    Finding,
    Given,
    SeatState,
    check_answer,
    sources,
)
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_rows import (
    close,
    count_seats,
    free_cases,
    free_seats,
    hand_over,
    is_in,
    merge,
    move_seat,
    new_case,
    open_count,
    read_cases,
    size,
    sweep,
    take,
)
from airflow_ai_provider.store.schema import exception_case as cases
from airflow_ai_provider.store.schema import exception_seat as seats

HOLD_FOR = 3600.0  # seconds that a person has for an answer, unless said
MOST_CLAIMED = 50  # cases that one person looks at at a time
_QUEUE_LOCK = 0x61695F65  # "ai_e": on a server, changes of the queue are one after another


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of findings: new cases, those known before, those beyond ``max_open``."""

    added: int
    known: int
    left_out: int


class ExceptionQueue:
    """The exception queue of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, findings: Sequence[Finding], asking: Asking) -> Added:
        """Make a case of every finding that is none yet, the most urgent first.

        A case that is there gets the new reasons; nothing is asked twice.
        """
        grouped: dict[str, list[Finding]] = {}
        for found in sorted(findings, key=lambda f: (-f.urgency, f.prediction_id)):
            grouped.setdefault(found.case_id, []).append(found)
        added = known = left_out = 0
        with self.write() as (connection, now):
            room = {
                model: asking.max_open - open_count(connection, model)
                for model in {found.model_name for found in findings}
            }
            for case_id, same in grouped.items():
                model = same[0].model_name
                if merge(connection, case_id, same):
                    known += 1
                elif room[model] <= 0:
                    left_out += 1
                else:
                    place = size(connection)
                    connection.execute(
                        cases.insert().values(**new_case(case_id, same, asking, now, place))
                    )
                    room[model] -= 1
                    added += 1
        return Added(added=added, known=known, left_out=left_out)

    def claim(
        self,
        person: str,
        *,
        model_name: str | None = None,
        case_id: str | None = None,
        limit: int = 1,
        hold_for: float = HOLD_FOR,
        users: Sequence[str] | None = None,
        dag_ids: Sequence[str | None] | None = None,
        but_models: Collection[str] = (),
    ) -> list[Case]:
        """Give ``person`` seats at up to ``limit`` cases, the most urgent first; return the cases.

        Cases that are assigned to others, that the person looked at, or that have no free seat are
        not given. ``users`` are the names that an assignment may match when ``person`` is a task
        that asks them; ``dag_ids`` bounds the cases to those of these DAGs (None: of no DAG);
        those of ``but_models`` are left out.
        """
        wanted = {person} if users is None else set(users)
        with self.write() as (connection, now):
            held = count_seats(
                connection, seats.c.person == person, is_in(seats, SeatState.CLAIMED)
            )
            room = max(0, min(limit, MOST_CLAIMED - held))
            statement = free_cases(person, model_name, case_id, dag_ids)
            taken: list[str] = []
            for row in connection.execute(
                statement.where(cases.c.model_name.not_in(sorted(but_models)))
            ):
                if len(taken) == room:
                    break
                if not row.assigned_to or wanted & set(row.assigned_to):
                    taken.append(row.id)
            for found in taken:
                take(connection, found, person, now, now + timedelta(seconds=hold_for))
            return read_cases(connection, cases.c.id.in_(taken))

    def answer(self, case_id: str, holder: str, answer: Answer, *, by: str | None = None) -> Given:
        """Record what ``holder`` says of a case that it claimed; ``by`` is the person, if another.

        :raises ExceptionReviewError: it is not claimed by ``holder`` (any more), ``by`` has looked
            at it already, or the answer is none that was asked for.
        """
        person = by or holder
        with self.write() as (connection, now):
            case = self._held(connection, case_id, holder)
            check_answer(case, answer)
            if person != holder:
                hand_over(connection, case, holder, person)
            move_seat(
                connection,
                case_id,
                person,
                SeatState.ANSWERED,
                answer=plain(asdict(answer)),
                answered_at=now,
            )
            full = cases.c.answers + 1 == cases.c.people
            moved = connection.execute(
                cases.update()
                .where(cases.c.id == case_id, cases.c.state.in_(sources(CaseState.ANSWERED)))
                .values(
                    answers=cases.c.answers + 1,
                    state=sa.case((full, CaseState.ANSWERED.value), else_=cases.c.state),
                    closed_at=sa.case(
                        (full, sa.literal(now, cases.c.closed_at.type)), else_=cases.c.closed_at
                    ),
                )
            )
            if moved.rowcount != 1:
                raise ExceptionReviewError(f"Case {case_id} is closed.", remedy="Claim another.")
        return Given(case=case, person=person, answer=answer, answered_at=now)

    def give_back(
        self, case_id: str, holder: str, *, cannot_tell: bool = True, by: str | None = None
    ) -> None:
        """Free the seat of ``holder``; who cannot tell is not shown the case again.

        :raises ExceptionReviewError: it has no claim on it, or ``by`` looked at it already.
        """
        person = by or holder
        with self.write() as (connection, _):
            case = self._held(connection, case_id, holder)
            if person != holder:
                hand_over(connection, case, holder, person)
            target = SeatState.RETURNED if cannot_tell else SeatState.LAPSED
            move_seat(connection, case_id, person, target)
            free_seats(connection, case_id, 1)

    def withdraw(self, case_ids: Sequence[str]) -> int:
        """Take cases that are open out of the queue; return how many were."""
        with self.write() as (connection, now):
            return close(connection, cases.c.id.in_(list(case_ids)), CaseState.WITHDRAWN, now)

    def assign(self, case_id: str, people: Sequence[str]) -> None:
        """Say who may claim a case; nobody named is anybody.

        :raises ExceptionReviewError: it is not open, or too few are named.
        """
        names = list(dict.fromkeys(people))
        with self.write() as (connection, _):
            found = connection.execute(
                cases.update()
                .where(
                    cases.c.id == case_id,
                    is_in(cases, CaseState.OPEN),
                    sa.true() if not names else cases.c.people <= len(names),
                )
                .values(assigned_to=names)
            )
        if found.rowcount != 1:
            raise ExceptionReviewError(
                f"Case {case_id} is not open, or is to be seen by more people than are named.",
                remedy="Name as many users as are asked of it.",
            )

    def find(
        self,
        *,
        case_id: str | None = None,
        model_name: str | None = None,
        state: CaseState | None = None,
        holder: str | None = None,
        limit: int | None = 200,
    ) -> list[Case]:
        """Return cases, the most urgent first; with ``holder`` those that it has claimed."""
        conditions: list[sa.ColumnElement[bool]] = []
        if case_id is not None:
            conditions.append(cases.c.id == case_id)
        if model_name is not None:
            conditions.append(cases.c.model_name == model_name)
        if state is not None:
            conditions.append(is_in(cases, state))
        if holder is not None:
            mine = sa.select(seats.c.case_id).where(
                seats.c.person == holder, is_in(seats, SeatState.CLAIMED)
            )
            conditions.append(cases.c.id.in_(mine))
        with self.store.read() as connection:
            return read_cases(connection, *conditions, limit=limit)

    @contextmanager
    def write(self) -> Iterator[tuple[sa.Connection, Any]]:
        """Yield a connection that alone changes the queue, and the time; what is late has gone."""
        with self.store.write() as connection:
            if not self.store.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_QUEUE_LOCK)))
            now = self.store.utcnow(connection)
            sweep(connection, now)
            yield connection, now

    @staticmethod
    def _held(connection: sa.Connection, case_id: str, holder: str) -> Case:
        for case in read_cases(connection, cases.c.id == case_id):
            if case.state is not CaseState.OPEN:
                raise ExceptionReviewError(
                    f"Case {case_id} is {case.state.value}: no answer is asked for any more.",
                    remedy="Claim another.",
                )
            held = connection.execute(
                sa.select(seats.c.state).where(seats.c.case_id == case_id, seats.c.person == holder)
            ).scalar()
            if held == SeatState.CLAIMED.value:
                return case
            what = "never had" if held is None else f"has {held}"
            raise ExceptionReviewError(
                f"{holder} {what} case {case_id}, and does not look at it now.",
                remedy="Claim it (again), if it is still open.",
            )
        raise ExceptionReviewError(f"There is no case {case_id}.", remedy="Claim one.")
