"""Remove a person's feedback for good, and write feedback out to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.delta_removal import delete_ids, ids_of
from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_delta import DeltaFeedback
from airflow_ai_provider.store.feedback import effective
from airflow_ai_provider.store.feedback_forgotten import ATTRIBUTE
from airflow_ai_provider.store.feedback_removal import Removed, note_export, remove
from airflow_ai_provider.store.schema import feedback

PERSONS = ("person", "reviewer")  # the attributes in which our sources name who said it
_TEXTS = ("model_version", "prediction_id", "partition", "source", "comment", "value", "score")


def forget(
    service: FeedbackService,
    *,
    persons: Collection[str] = (),
    ids: Collection[str] = (),
    attributes: Collection[str] = (),
) -> Removed:
    """Remove records for good, and keep them away when their source is read again.

    ``persons`` are looked for in ``source``, in the attributes ``person`` and ``reviewer``, and in
    ``attributes``; ``ids`` are feedback ids. Every revision goes, what the quarantine has of them,
    and what these persons answered to cases of the exception queue. What is kept is a hash of each
    id and name, so that a source that is read again does not bring them back.

    :raises FeedbackError: nothing says whom or what to forget.
    """
    who = [person for person in persons if person.strip()]
    what = [one for one in ids if one.strip()]
    if not who and not what:
        raise FeedbackError(
            "Nothing says what to forget.", remedy="Name a person, or the id of a record."
        )
    names = dict.fromkeys([*PERSONS, *attributes])
    fields = ["source", *(ATTRIBUTE + name for name in names)]
    removed = remove(service.records, ids=what, persons=who, fields=fields)
    if isinstance(service.records, DeltaFeedback):
        # the list is written: whoever takes them in from now on is refused
        table = service.records.table
        found = ids_of(table, who, fields) | set(what)
        records, revisions = delete_ids(table, found)
        again = remove(service.records, ids=found, persons=(), fields=fields)
        removed = replace(
            removed,
            records=removed.records + records,
            revisions=removed.revisions + revisions,
            quarantined=removed.quarantined + again.quarantined,
        )
    return removed


def export(
    service: FeedbackService,
    path: str | Path,
    *,
    model_name: str | None = None,
    revisions: bool = False,
) -> int:
    """Write effective records as JSON Lines that can be taken in again; return how many.

    ``revisions`` writes every revision, in the order of arrival. The file appears whole, or not at
    all; that it was written is noted, so that ``forget`` can name it.

    :raises FeedbackError: it cannot be written, or the records are in a Delta table.
    """
    if isinstance(service.records, DeltaFeedback):
        raise FeedbackError(
            f"The records are in the Delta table {service.records.table.address}.",
            remedy="Read it as it is: Spark, DuckDB and polars do.",
        )
    target = Path(path).expanduser().resolve()
    count = 0
    try:
        with whole_file(target) as unfinished:
            with unfinished.open("w", encoding="utf-8") as stream:
                for document in _documents(service, model_name, revisions):
                    stream.write(json.dumps(document, ensure_ascii=False) + "\n")
                    count += 1
                stream.flush()
                os.fsync(stream.fileno())
            # noted first: a file that nobody knows of would be missed by who forgets
            note_export(service.store, str(target), model_name, count)
    except OSError as error:
        raise FeedbackError(
            f"Feedback cannot be written to {target}: {error.strerror or error}.",
            remedy="Name a file in a folder that this user may write to, with room for it.",
        ) from error
    return count


def _documents(
    service: FeedbackService, model_name: str | None, revisions: bool
) -> Iterator[dict[str, Any]]:
    statement = sa.select(feedback).order_by(feedback.c.sequence)
    if not revisions:
        statement = statement.where(*effective(model_name))
    elif model_name is not None:
        statement = statement.where(feedback.c.model_name == model_name)
    with service.store.read() as connection:
        for row in connection.execution_options(yield_per=5000).execute(statement):
            document: dict[str, Any] = {
                "feedback_id": row.feedback_id,
                "model_name": row.model_name,
                "observed_at": plain(row.observed_at),
                "source_kind": row.source_kind,
            }
            found = {name: getattr(row, name) for name in _TEXTS}
            document |= {name: value for name, value in found.items() if value is not None}
            for name in ("label", "attributes"):
                if getattr(row, name) is not None:
                    document[name] = json.loads(getattr(row, name))
            yield document
