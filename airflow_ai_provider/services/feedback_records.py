"""Feedback to be read, wherever it was taken in: the store, Delta tables, or both as one.

The store notes which tables hold feedback on a model, so that whoever reads it finds them: volume
goes to a table, what people answer in the UI or send over HTTP stays in the store, and both count:
what is in both counts once. What a storage wants to know beside the environment, the store's
connection says; options that are given go before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.adapters.delta_reading import reading
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.lines import BETWEEN, OUTCOME, SAID
from airflow_ai_provider.core.feedback.quick import ROW, Row
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_opinions import came_in_after
from airflow_ai_provider.store.feedback_places import places
from airflow_ai_provider.store.feedback_records import FeedbackRecords, StoredRecords

_KEYS = ("feedback_id", "model_name", "observed_at", "sequence")
_EFFECTIVE = """
CREATE VIEW effective AS SELECT * FROM feedback QUALIFY row_number() OVER (
    PARTITION BY feedback_id ORDER BY observed_at DESC, place DESC, sequence DESC
) = 1
"""
_AT = "strftime(make_timestamp(epoch_us(observed_at)), '%Y-%m-%dT%H:%M:%S.%f+00:00')"
_VARIANCE = "greatest(0, avg(score * score) - avg(score) ** 2)"
_SPREAD = f"CASE WHEN count(*) > 1 THEN sqrt({_VARIANCE} * count(*) / (count(*) - 1)) ELSE 0 END"
_PREDICTED = "model_name = $model AND prediction_id IS NOT NULL"


class Said(NamedTuple):
    """What a person said of a prediction."""

    prediction_id: str
    model_version: str | None
    source: str | None
    attributes: str | None
    label: str | None
    label_number: float | None
    score: float | None


def records_of(
    store: Store,
    model_name: str | None = None,
    *,
    delta: str | None = None,
    delta_options: Mapping[str, str] | None = None,
) -> FeedbackRecords:
    """Return the feedback on a model, or on all, wherever ``store`` knows that it is.

    ``delta`` is a table that is read too, noted or not: another store may have written it.
    """
    tables, noted = tables_of(store, model_name, delta=delta, delta_options=delta_options)
    return TableRecords(store, tables, noted=noted) if tables else StoredRecords(store)


def tables_of(
    store: Store,
    model_name: str | None = None,
    *,
    delta: str | None = None,
    delta_options: Mapping[str, str] | None = None,
) -> tuple[list[DeltaTable], set[str]]:
    """Return the tables with feedback on a model, or on any, and the addresses that are noted."""
    noted = places(store, model_name)
    addresses = dict.fromkeys([*([address_of(delta)] if delta else []), *noted])
    return [table_at(store, address, delta_options) for address in addresses], set(noted)


def table_at(
    store: Store, address: str, delta_options: Mapping[str, str] | None = None
) -> DeltaTable:
    """Return the table at ``address``: whatever opens one for a store does it here."""
    return DeltaTable(address, {**store.delta_options, **(delta_options or {})})


def address_of(address: str) -> str:
    """Return the address of a table as the store notes it: the same from whatever folder."""
    local = address.removeprefix("file://")
    return local.rstrip("/") if "://" in local else str(Path(local).expanduser().resolve())


def need_table(address: str | None) -> None:
    """Refuse an address at which there is no Delta table; None is no address.

    :raises FeedbackSourceError: there is none.
    """
    if address is not None and DeltaTable(address_of(address)).version() is None:
        raise FeedbackSourceError(
            f"There is no Delta table at {address}.",
            remedy="`airflow-ai feedback tables` lists those that the store knows.",
        )


class TableRecords:
    """The feedback in ``tables``, and in the store beside them: see ``FeedbackRecords``."""

    def __init__(
        self, store: Store, tables: Sequence[DeltaTable], *, noted: Collection[str] = ()
    ) -> None:
        self.tables = tables
        self._stored = StoredRecords(store)
        self._noted = set(noted)

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time: records of all places, batches of the store."""
        statement = (
            "SELECT model_name, count(*), count(DISTINCT feedback_id) FROM"
            " (SELECT DISTINCT model_name, feedback_id, content_hash FROM feedback)"
            " GROUP BY ROLLUP (model_name)"
        )
        rows = self._all(statement, ("content_hash",))
        [(revisions, ids)] = [found[1:] for found in rows if found[0] is None] or [(0, 0)]
        models = {name: number for name, _, number in sorted(rows, key=_first) if name is not None}
        return {
            **self._stored.totals(),
            "stored": ids,
            "revised": revisions - ids,
            "models": models,
            "tables": [table.address for table in self.tables],
        }

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records there are for a model, and a partition if named."""
        rows = self._all(
            f"SELECT count(*) FROM effective WHERE model_name = $model AND {_of_part(partition)}",  # noqa: S608 - ours
            ("partition",),
            model=model_name,
        )
        return int(rows[0][0])

    def counts(self, models: Collection[str]) -> dict[tuple[str, str | None], int]:
        """Return how many effective records there are, by model and partition."""
        rows = self._all(
            'SELECT model_name, "partition", count(*) FROM effective'
            " WHERE list_contains($models, model_name) GROUP BY ALL",
            ("partition",),
            models=list(models),
        )
        return {(model, part): number for model, part, number in rows}

    def scores(self, models: Collection[str], since: datetime) -> dict[str, tuple[int, float]]:
        """Return count and mean of people's scores of each model since a moment."""
        rows = self._all(
            "SELECT model_name, count(*), avg(score) FROM effective"
            " WHERE list_contains($models, model_name) AND score IS NOT NULL"
            " AND source_kind = 'person' AND observed_at >= CAST($since AS TIMESTAMPTZ)"
            " GROUP BY ALL",
            ("score", "source_kind"),
            models=list(models),
            since=since.isoformat(),
        )
        return {model: (number, mean) for model, number, mean in rows}

    def outcomes(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective labelled records that name a prediction: see ``FeedbackRecords``."""
        yield from self._lines(OUTCOME, f"{_PREDICTED} AND label_number IS NOT NULL", model_name)

    def said(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective records that name a prediction: see ``FeedbackRecords``."""
        yield from self._lines(SAID, _PREDICTED, model_name)

    def with_outcome(self, model_name: str, predictions: Collection[str]) -> set[str]:
        """Return those of ``predictions`` that have an outcome."""
        rows = self._all(
            f"SELECT DISTINCT prediction_id FROM effective"  # noqa: S608 - ours
            f" WHERE {_PREDICTED} AND source_kind = 'outcome'"
            " AND list_contains($wanted, prediction_id)",
            ("prediction_id", "source_kind"),
            model=model_name,
            wanted=sorted(set(predictions)),
        )
        return {name for (name,) in rows}

    def opinions(self, model_name: str, *, partition: str | None = None) -> dict[str, Opinions]:
        """Return people's scores of each version: see ``FeedbackRecords``."""
        rows = self._all(
            f"SELECT model_version, count(*), avg(score), {_SPREAD} FROM effective"  # noqa: S608 - ours
            " WHERE model_name = $model AND score IS NOT NULL AND model_version IS NOT NULL"
            f" AND source_kind = 'person' AND {_of_part(partition)} GROUP BY 1",
            ("score", "model_version", "source_kind", "partition"),
            model=model_name,
        )
        return {
            version: Opinions(answers=number, mean=mean, deviation=deviation)
            for version, number, mean, deviation in rows
        }

    def opinions_by_person(
        self, model_name: str, *, partition: str | None = None, size: int = 50_000
    ) -> Iterator[Sequence[Said]]:
        """Yield what people said of predictions that several records are of."""
        names = ", ".join(Said._fields)
        pieces = self._pieces(
            f"SELECT {names} FROM effective"  # noqa: S608 - ours
            f" WHERE {_PREDICTED} AND source_kind = 'person' AND {_of_part(partition)}"
            " QUALIFY count(*) OVER (PARTITION BY prediction_id) > 1"
            " ORDER BY prediction_id, place, sequence",
            (*Said._fields, "source_kind", "partition"),
            size=size,
            model=model_name,
        )
        for rows in pieces:
            yield [Said(*row) for row in rows]

    def contradicted(self, model_name: str, *, partition: str | None = None) -> dict[str, int]:
        """Return the predictions that people labelled differently."""
        rows = self._all(
            f"SELECT prediction_id, count(DISTINCT label) FROM effective"  # noqa: S608 - ours
            f" WHERE {_PREDICTED} AND source_kind = 'person' AND {_of_part(partition)}"
            " GROUP BY 1 HAVING count(DISTINCT label) > 1",
            ("prediction_id", "label", "source_kind", "partition"),
            model=model_name,
        )
        return dict(rows)

    def disliked(
        self,
        model_name: str,
        limit: float,
        *,
        most: int | None = None,
        partition: str | None = None,
    ) -> dict[str, float]:
        """Return the predictions that somebody scored ``limit`` or lower."""
        rows = self._all(
            f"SELECT prediction_id, min(score) FROM effective"  # noqa: S608 - ours
            f" WHERE {_PREDICTED} AND source_kind = 'person' AND score <= $limit"
            f" AND {_of_part(partition)} GROUP BY 1 ORDER BY 2, 1 LIMIT $most",
            ("prediction_id", "score", "source_kind", "partition"),
            model=model_name,
            limit=limit,
            most=most,
        )
        return dict(rows)

    def came_in(self, model_name: str, days: float) -> int:
        """Return how many records were stored or revised during the last ``days``."""
        store = self._stored.store
        with store.read() as connection:
            since = store.utcnow(connection) - timedelta(days=days)
        return came_in_after(store, model_name, since)

    def documents(self, model_name: str | None, *, revisions: bool) -> Iterator[Mapping[str, Any]]:
        """Yield the effective records, or every revision once, as they came."""
        once = (
            "(SELECT * FROM feedback QUALIFY row_number() OVER"
            " (PARTITION BY feedback_id, content_hash ORDER BY place, sequence) = 1)"
        )
        names = [name for name in ROW if name != "observed_at"]
        pieces = self._pieces(
            f"SELECT {', '.join(_quoted(names))}, {_AT} FROM {once if revisions else 'effective'}"  # noqa: S608 - ours
            " WHERE $model IS NULL OR model_name = $model ORDER BY place, sequence",
            tuple(names),
            size=5000,
            model=model_name,
        )
        for rows in pieces:
            for *values, moment in rows:
                told = dict(zip(names, values, strict=True))
                yield {**told, "observed_at": datetime.fromisoformat(moment)}

    @contextmanager
    def _reading(self, columns: Sequence[str]) -> Iterator[Any]:
        names = tuple(dict.fromkeys((*_KEYS, *columns)))
        stored = () if self._stored.is_empty() else self._stored.revisions(names)
        with reading(self.tables, names, stored, must=self._noted) as connection:
            connection.execute(_EFFECTIVE)
            yield connection

    def _all(self, statement: str, columns: Sequence[str], **parameters: Any) -> list[Row]:
        with self._reading(columns) as connection:
            found: list[Row] = connection.execute(statement, parameters or None).fetchall()
            return found

    def _pieces(
        self, statement: str, columns: Sequence[str], *, size: int, **parameters: Any
    ) -> Iterator[list[Row]]:
        with self._reading(columns) as connection:
            result = connection.execute(statement, parameters or None)
            while rows := result.fetchmany(size):
                yield rows

    def _lines(self, fields: Collection[str], condition: str, model: str) -> Iterator[bytes]:
        named = [_AT if name == "observed_at" else name for name in fields]
        line = f"concat({f', chr({ord(BETWEEN)}), '.join(named)}, chr(10))"  # null is nothing
        statement = f"SELECT {line} FROM effective WHERE {condition}"  # noqa: S608 - names of ours
        for rows in self._pieces(statement, (*fields, "label_number"), size=50_000, model=model):
            yield "".join([row[0] for row in rows]).encode()


def _of_part(partition: str | None) -> str:
    if partition is None:
        return "true"
    if (window := read_window(partition)) is None:
        return f"\"partition\" = '{partition.replace(chr(39), chr(39) * 2)}'"
    return f"observed_at >= '{window.begin}' AND observed_at < '{window.end}'"


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _first(row: Row) -> str:
    return row[0] or ""
