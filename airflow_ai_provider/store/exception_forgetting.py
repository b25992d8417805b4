"""The exception queue without a person: who had a seat stays counted, under no name."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from airflow_ai_provider.store.feedback_forgotten import hash_of
from airflow_ai_provider.store.schema import exception_case, exception_seat

_NO_BATCH = 0  # an answer that is gone is not to be taken in as feedback


def forget_people(connection: sa.Connection, persons: Collection[str]) -> None:
    """Take the names of ``persons`` out of the queue, and what they answered."""
    seat, names = (
        exception_seat.c,
        {person: f"forgotten:{hash_of(person)[:32]}" for person in persons},
    )
    for person, name in names.items():
        connection.execute(
            exception_seat.update()
            .where(seat.person == person)
            .values(person=name, answer={}, batch_id=sa.func.coalesce(seat.batch_id, _NO_BATCH))
        )
    case = exception_case.c
    for case_id, assigned in connection.execute(sa.select(case.id, case.assigned_to)).all():
        if not names.keys().isdisjoint(assigned):
            # not left out: assigned to nobody would be assigned to anybody
            others = [names.get(person, person) for person in assigned]
            connection.execute(
                exception_case.update().where(case.id == case_id).values(assigned_to=others)
            )
