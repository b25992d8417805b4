"""What was forgotten on request, as hashes: reading a source again must not bring it back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_forgotten
from airflow_ai_provider.store.upsert import dialect_insert

ATTRIBUTE = "attributes."
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PARTED = re.compile(r'[",;:|\t\[\]{}]')


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """Hashes by field; ``last`` is the newest entry, by which a later one is noticed."""

    hashes: Mapping[str, frozenset[str]]
    last: int = 0

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def has(self, record: FeedbackRecord) -> bool:
        """Whether ``record`` is one that was forgotten."""
        for field, hashes in self.hashes.items():
            value = value_of(field, record)
            if value is not None and hash_of(value) in hashes:
                return True
        return False

    def stands_in(self, raw: str) -> bool:
        """Whether a text that is no record names one, or somebody, that was forgotten.

        Its words are what stands between quotes, and between the signs that part values.
        """
        every = frozenset().union(*self.hashes.values())
        return any(hash_of(word) in every for word in _words(raw))


def _words(raw: str) -> Iterator[str]:
    for quoted in _QUOTED.findall(raw):
        yield quoted
        with suppress(ValueError):
            yield json.loads(f'"{quoted}"')
    for plain in _PARTED.split(raw):
        yield plain.strip()


def value_of(field: str, record: FeedbackRecord) -> str | None:
    """Return the value of ``field`` (``source``, ``attributes.person``) in ``record``, as text."""
    found: Any
    if field.startswith(ATTRIBUTE):
        found = record.attributes.get(field.removeprefix(ATTRIBUTE))
    else:
        found = getattr(record, field)
    return None if found is None else str(found)


def hash_of(value: str) -> str:
    """Return what stands for ``value`` in the list."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def read_forgotten(store: Store) -> Forgotten:
    """Return all that is to stay away."""
    table = feedback_forgotten.c
    hashes: dict[str, set[str]] = {}
    last = 0
    with store.read() as connection:
        for number, field, hashed in connection.execute(
            sa.select(table.id, table.field, table.hash)
        ):
            hashes.setdefault(field, set()).add(hashed)
            last = max(last, number)
    return Forgotten(hashes={field: frozenset(found) for field, found in hashes.items()}, last=last)


def newest(connection: sa.Connection) -> int:
    """Return the number of the newest entry."""
    statement = sa.select(sa.func.coalesce(sa.func.max(feedback_forgotten.c.id), 0))
    return int(connection.execute(statement).scalar_one())


def add(connection: sa.Connection, entries: Iterable[tuple[str, str]], at: datetime) -> None:
    """Add (field, value) to the list."""
    rows = [
        {"field": field, "hash": hash_of(value), "at": at} for field, value in sorted(set(entries))
    ]
    if rows:
        connection.execute(
            dialect_insert(connection, feedback_forgotten).on_conflict_do_nothing(), rows
        )
