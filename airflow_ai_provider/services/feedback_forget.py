"""Remove a person's feedback for good, and write feedback out to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.delta_removal import delete_ids, ids_of
from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.feedback.record import SAID_BY
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.feedback_forgotten import ATTRIBUTE
from airflow_ai_provider.store.feedback_removal import (
    Removed,
    note_export,
    remove,
    stored_ids,
)

_TEXTS = ("model_version", "prediction_id", "partition", "source", "comment", "value", "score")


def forget(
    service: FeedbackService,
    *,
    persons: Collection[str] = (),
    ids: Collection[str] = (),
    attributes: Collection[str] = (),
) -> Removed:
    """Remove records for good, and keep them away when their source is read again.

    ``persons`` are looked for in ``source``, in the attributes ``reviewer``, ``annotator`` and
    ``person``, and in ``attributes``; ``ids`` are feedback ids. Every revision goes, what the
    quarantine has of them, and what these persons answered to cases of the exception queue. What is
    kept is a hash of each id and name, so that a source that is read again does not bring them
    back. Delta tables that the store knows of lose them too, with the files that older versions of
    theirs need.

    :raises FeedbackError: nothing says whom or what to forget.
    """
    who = [person for person in persons if person.strip()]
    what = [one for one in ids if one.strip()]
    if not who and not what:
        raise FeedbackError(
            "Nothing says what to forget.", remedy="Name a person, or the id of a record."
        )
    names = dict.fromkeys([*SAID_BY, *attributes])
    fields = ["source", *(ATTRIBUTE + name for name in names)]
    tables = service.tables()  # one that is not there fails before anything is removed
    found = stored_ids(service.store, who, fields) | set(what)
    removed = remove(service.records, ids=found, persons=who, fields=fields)
    if not tables:
        return removed
    # the list is written: whoever takes them in from now on is refused
    found = found.union(*(ids_of(table, who, fields) for table in tables))
    counted = [delete_ids(table, found) for table in tables]
    again = remove(service.records, ids=found, persons=(), fields=fields)
    return replace(
        removed,
        records=removed.records + again.records + sum(records for records, _ in counted),
        revisions=removed.revisions + again.revisions + sum(number for _, number in counted),
        quarantined=removed.quarantined + again.quarantined,
    )


def export(
    service: FeedbackService,
    path: str | Path,
    *,
    model_name: str | None = None,
    revisions: bool = False,
    sight: Sight = EVERYTHING,
) -> int:
    """Write effective records as JSON Lines that can be taken in again; return how many.

    Models out of ``sight`` are left out. ``revisions`` writes every revision, in the order of
    arrival. The file appears whole, or not at
    all; that it was written is noted, so that ``forget`` can name it.

    :raises FeedbackError: it cannot be written.
    :raises FeedbackSinkError: a Delta table that has records cannot be read.
    """
    target = Path(path).expanduser().resolve()
    count = 0
    try:
        with whole_file(target) as unfinished:
            with unfinished.open("w", encoding="utf-8") as stream:
                for document in _documents(service, model_name, revisions):
                    if not sight.shows_model(document["model_name"]):
                        continue
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
    for row in service.records_of(model_name).documents(model_name, revisions=revisions):
        document: dict[str, Any] = {
            "feedback_id": row["feedback_id"],
            "model_name": row["model_name"],
            "observed_at": plain(row["observed_at"]),
            "source_kind": row["source_kind"],
        }
        document |= {name: row[name] for name in _TEXTS if row[name] is not None}
        for name in ("label", "attributes"):
            if row[name] is not None:
                document[name] = json.loads(row[name])
        yield document
