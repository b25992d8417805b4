"""Take in what was refused, after the record, the mapping or the clock was repaired."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.feedback_csv import is_csv, typed
from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError, FeedbackSourceError
from airflow_ai_provider.core.feedback.parse import read_mapping
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_intake import write_spooled
from airflow_ai_provider.services.feedback_sorting import Sorting, Terms, latest_moment, spooled
from airflow_ai_provider.store.feedback_forgotten import read_forgotten
from airflow_ai_provider.store.feedback_quarantined import BY_HAND, Refused, resolve, waiting
from airflow_ai_provider.store.feedback_sink import BatchCounts


def retry(
    service: FeedbackService,
    *,
    ids: Collection[int] | None = None,
    repaired: str | Path | None = None,
    mapping: Mapping[str, str] | None = None,
    model_name: str | None = None,
) -> BatchCounts:
    """Read what waits in the quarantine again, as one batch of its own.

    ``ids`` are those to read, all unless said. ``repaired`` is a file of JSON Lines
    ``{"id": 12, "record": {...}}``: only those are read, in their repaired form. What fits now
    leaves the quarantine in the transaction that stores it; what does not stays, and is counted as
    quarantined. The counts of the batch that refused it stay what they were.

    :raises FeedbackError: an id is not waiting, or the file cannot be read.
    """
    terms = Terms(
        mapping=read_mapping(mapping),
        model_name=model_name,
        comments=service.settings.feedback_comments,
    )
    documents = read_repaired(repaired) if repaired is not None else None
    wanted = set(documents) if documents is not None else None if ids is None else set(ids)
    forgotten = read_forgotten(service.store)
    sorting, not_after = Sorting(terms, forgotten), latest_moment()
    settled: list[int] = []
    seen: set[int] = set()
    with Spool() as good, Spool() as bad:
        for refused in waiting(service.store, wanted):
            seen.add(refused.id)
            document = documents[refused.id] if documents else None
            try:
                if document is None:
                    document = _document(refused, terms.mapping)
                spooled(good, sorting.row(document, not_after=not_after))
                settled.append(refused.id)
            except FeedbackRecordError as error:
                raw = SourceRecord(refused.place, refused.raw.encode(), None)
                spooled(bad, sorting.refused(refused.source, raw, error.message))
        if wanted is not None and wanted - seen:
            raise FeedbackError(
                f"Nothing waits in the quarantine under {sorted(wanted - seen)[:10]}.",
                remedy="`airflow-ai feedback quarantine list` shows what does.",
            )

        def settle(connection: sa.Connection, batch: int) -> None:
            if resolve(connection, settled, batch) != len(settled):
                raise FeedbackError(
                    "Somebody else took in a part of it meanwhile; nothing was changed.",
                    remedy="Try again.",
                )

        return write_spooled(
            service.records,
            (good, bad),
            sources=["quarantine"],
            forgotten=forgotten,
            terms=terms,
            first=settle,
        )


def discard(service: FeedbackService, ids: Collection[int]) -> int:
    """Say that what waits under ``ids`` is no feedback; return how many that were."""
    with service.records.alone() as connection:
        return resolve(connection, sorted(set(ids)), BY_HAND)


def read_repaired(path: str | Path) -> dict[int, Any]:
    """Return the records of a file of repairs by the id of what they repair.

    :raises FeedbackSourceError: it is no such file.
    """
    try:
        return dict(_repairs(Path(path).expanduser()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FeedbackSourceError(
            f"The repaired records in {path} cannot be read: {type(error).__name__}: {error}.",
            remedy='Write a line {"id": 12, "record": {...}} for each, with the id that '
            "`quarantine list` shows.",
            path=str(path),
        ) from error


def _repairs(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                found = json.loads(line)
                yield int(found["id"]), found["record"]


def _document(refused: Refused, mapping: Mapping[str, str]) -> Any:
    try:
        found = json.loads(refused.raw)
    except (ValueError, RecursionError):
        raise FeedbackRecordError("its raw form is no JSON: give a repaired one") from None
    if is_csv(refused.source) and isinstance(found, Mapping):
        return typed({str(name): str(cell) for name, cell in found.items()}, mapping)
    return found
