"""Answers of people that are to become feedback, and those of a person who is to be forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.exceptions import Answer, Given, SeatState
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.store.exception_rows import free_seats, is_in, read_cases
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.schema import exception_case as cases
from airflow_ai_provider.store.schema import exception_seat as seats


class ExceptionAnswers:
    """The answers in one exception queue."""

    def __init__(self, queue: ExceptionQueue) -> None:
        self.queue = queue
        self.store = queue.store

    def undelivered(self, *, limit: int = 1000) -> list[Given]:
        """Return answers that are not feedback yet, oldest first."""
        statement = (
            sa.select(seats)
            .where(is_in(seats, SeatState.ANSWERED), seats.c.batch_id.is_(None))
            .order_by(seats.c.answered_at, seats.c.case_id, seats.c.person)
            .limit(limit)
        )
        with self.store.read() as connection:
            rows = connection.execute(statement).all()
            found = {
                case.id: case
                for case in read_cases(connection, cases.c.id.in_({row.case_id for row in rows}))
            }
        return [
            Given(
                case=found[row.case_id],
                person=row.person,
                answer=Answer(**row.answer),
                answered_at=row.answered_at,
            )
            for row in rows
        ]

    def delivered(self, given: Sequence[Given], batch: int) -> None:
        """Note that answers are feedback now, taken in by ``batch``, and as what they were."""
        with self.queue.write() as (connection, _):
            for one in given:
                connection.execute(
                    seats.update()
                    .where(seats.c.case_id == one.case.id, seats.c.person == one.person)
                    .values(batch_id=batch, answer=plain(asdict(one.answer)))
                )

    def forget(self, person: str) -> int:
        """Remove a person's name and answers from the queue for good; return how many seats.

        The cases stay, and so does that somebody answered them.
        """
        with self.queue.write() as (connection, _):
            rows = connection.execute(
                sa.select(seats.c.case_id, seats.c.state).where(seats.c.person == person)
            ).all()
            for row in rows:
                if row.state == SeatState.CLAIMED.value:
                    free_seats(connection, row.case_id, 1)
                mine = (seats.c.case_id == row.case_id, seats.c.person == person)
                if row.state != SeatState.ANSWERED.value:
                    connection.execute(seats.delete().where(*mine))
                    continue
                connection.execute(
                    seats.update()
                    .where(*mine)
                    .values(
                        person=f"(forgotten {uuid.uuid4().hex[:12]})",
                        answer=sa.null(),
                        batch_id=sa.func.coalesce(seats.c.batch_id, 0),
                    )
                )
            return len(rows)
