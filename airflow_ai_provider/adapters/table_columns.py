"""The columns of a database table, counted where they are for a comparison or a profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.drift.categories import MOST, Categories
from airflow_ai_provider.core.quality.drift.columns import (
    ColumnValues,
    NotOfKindError,
    Values,
    kind_of,
)
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.numbers import EXACT_VALUES, Sample, Sketch

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData
    from airflow_ai_provider.core.quality.database.counting import Summary
    from airflow_ai_provider.core.quality.database.readings import Reading

_NAMED = 10_000  # categories that one statement asks for by name
_LISTED = 1_000  # categories worth telling apart where the reference does not
_TOGETHER = 100  # columns that one statement summarises
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


class TableColumns:
    """The columns of an open table or query by name; only counts leave the database.

    Of numbers and times one scan tells the ends and what is missing (of all columns at once after
    ``look_ahead``), and beside a reference (``like``) one the rows at and between its points.
    Without one, the database makes the column's own sketch, as for a profile. Categories are
    grouped, the rare ones as one.
    """

    def __init__(self, data: TableData, rows: int | None = None) -> None:
        self._data = data
        self._rows = rows
        self._columns = {column.name: column for column in data.columns}
        self._types: dict[str, str] | None = None
        self._summaries: dict[tuple[str, Kind], Summary] = {}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        if self._rows is None:
            import sqlalchemy as sa

            asked = sa.select(sa.func.count()).select_from(self._data.relation)
            self._rows = int(self._data.rows(asked)[0][0])
        return self._rows

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB's type of each column, in the table's order; of a query, what its values are."""
        if self._types is None:
            from airflow_ai_provider.core.quality.database.kinds import duckdb_type

            told = {c.name: c.type or c.shown_type for c in self._data.columns}
            self._types = {
                name: duckdb_type(type_) if type_ else self._seen_type(name)
                for name, type_ in told.items()
            }
        return self._types

    def _seen_type(self, name: str) -> str:
        import sqlalchemy as sa

        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError
        from airflow_ai_provider.core.quality.database.kinds import type_of_values

        column = self._columns[name].sql
        ends = sa.select(sa.func.min(column), sa.func.max(column)).select_from(self._data.relation)
        try:
            return type_of_values(self._data.rows(ends)[0])
        except StatementRefusedError:  # it has no order: nothing but a category
            return "VARCHAR"

    def look_ahead(self, names: Sequence[str]) -> None:
        """Summarise the columns of numbers and times among ``names`` in one scan.

        Where the database refuses that, each is asked alone when it is needed, and says why.
        """
        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError
        from airflow_ai_provider.core.quality.database.dialect import chunks

        kinds = {name: kind_of(self.types[name]) for name in names if name in self.types}
        ordered = [name for name, kind in kinds.items() if kind is not Kind.CATEGORY]
        for part in chunks(ordered, _TOGETHER):
            with suppress(StatementRefusedError, NotOfKindError):
                self._summarise([(name, kinds[name]) for name in part])

    def _summarise(self, asked: Sequence[tuple[str, Kind]]) -> None:
        import sqlalchemy as sa

        from airflow_ai_provider.core.quality.database import counting

        readings = [self._reading(name, kind) for name, kind in asked]
        reads = [counting.summary_reads(one) for one in readings]
        named = [read.label(f"s{i}") for i, read in enumerate(r for some in reads for r in some)]
        if not named:
            return
        [row] = self._data.rows(sa.select(*named).select_from(self._data.relation))
        size = len(reads[0])
        for i, one in enumerate(asked):
            self._summaries[one] = counting.as_summary(row[i * size : (i + 1) * size])

    def column(
        self, name: str, kind: Kind | None = None, *, like: Values | None = None
    ) -> ColumnValues:
        """Return the values of column ``name`` as ``kind`` (its type's unless said), counted.

        A column without any value is of whatever kind is asked for.

        :raises NotOfKindError: they are not of this kind, or the database cannot count them.
        :raises DataReadError: the database was lost, or the table changed while it was read.
        """
        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

        type_ = self.types[name]
        own = kind_of(type_)
        wanted = kind or own
        try:
            if wanted not in {Kind.CATEGORY, own} and not self._may_be_times(name, wanted):
                return self._empty(name, wanted, type_)
            values: Values = (
                self._categories(name, like if isinstance(like, Categories) else None)
                if wanted is Kind.CATEGORY
                else self._sketch(name, wanted, like)
            )
        except StatementRefusedError as error:
            raise NotOfKindError(f"the database does not count it: {error}") from error
        if values.count > self.rows:
            raise self._changed()
        return ColumnValues(name=name, type=type_, kind=wanted, rows=self.rows, values=values)

    def _may_be_times(self, name: str, wanted: Kind) -> bool:
        """Whether a column is text by its values alone: in a query on SQLite times are, too."""
        column = self._columns[name]
        told = column.type or column.shown_type
        text = told is None and self.types[name] == "VARCHAR"
        return text and wanted is Kind.TIME and self._data.dialect.name == "sqlite"

    def _changed(self) -> DataReadError:
        address = self._data.source.address
        return DataReadError(
            f"Cannot read {address}: it changed while it was read.",
            remedy="Try again when nobody writes to it.",
            path=address,
        )

    def _empty(self, name: str, wanted: Kind, type_: str) -> ColumnValues:
        import numpy as np
        import sqlalchemy as sa

        present = sa.select(sa.func.count(self._columns[name].sql)).select_from(self._data.relation)
        if self._data.rows(present)[0][0]:
            raise NotOfKindError(
                f"it is {type_} now, and the reference's values are {wanted.value}s"
            )
        nothing = Sample.of(np.zeros(0))
        return ColumnValues(name=name, type=type_, kind=wanted, rows=self.rows, values=nothing)

    def _reading(self, name: str, kind: Kind) -> Reading:
        from airflow_ai_provider.core.quality.database.readings import reading

        return reading(self._columns[name], self.types[name], kind, self._data.dialect)

    # --- numbers and times --------------------------------------------------------------------

    def _sketch(self, name: str, kind: Kind, like: Values | None) -> Sketch:
        from airflow_ai_provider.core.quality.database import counting

        asked = self._reading(name, kind)
        if (name, kind) not in self._summaries:
            self._summarise([(name, kind)])
        seen = self._summaries[name, kind]
        if seen.wrong:
            raise NotOfKindError(
                f"{seen.wrong} of its values are no {kind.value}s, whatever its type says"
            )
        if isinstance(like, (Sample, Sketch)):
            reference = like if isinstance(like, Sketch) else Sketch.of(like)
            points = counting.points_of(reference.points, seen)
            cells = counting.cells_statement(asked, points, self._data.relation, self._data.dialect)
            found = counting.sketch_of_cells(points, self._data.rows(cells))
        else:
            found = self._own_sketch(asked, seen)
        if found.count != seen.present:
            raise self._changed()
        return found

    def _own_sketch(self, asked: Reading, seen: Summary) -> Sketch:
        """Return the sketch that ``Sketch.of`` makes of the same values."""
        import numpy as np

        from airflow_ai_provider.core.quality.database import counting

        mean, deviation = self._spread(asked, seen)
        source = self._data.relation
        rows = self._data.rows(counting.values_statement(asked, source))
        if len(rows) <= EXACT_VALUES:
            at_most = np.cumsum([int(number) for _, number in rows], dtype=np.int64)
            below = np.r_[0, at_most[:-1]].astype(np.int64) if len(rows) else at_most
        else:
            rows = self._data.rows(counting.ranked_statement(asked, seen, source))
            below, at_most = (np.array([int(r[i]) for r in rows], dtype=np.int64) for i in (1, 2))
        points = np.array([_number(row[0]) for row in rows])
        return Sketch(
            points=points, rows_below=below, rows_at_most=at_most, centre=mean, spread=deviation
        )

    def _spread(self, asked: Reading, seen: Summary) -> tuple[float, float]:
        import sqlalchemy as sa

        from airflow_ai_provider.core.quality.database import counting

        if seen.least is None:
            return 0.0, 0.0

        def ask(mean: float | None) -> float:
            read = sa.select(counting.spread_reads(asked, seen, mean))
            return float(self._data.rows(read.select_from(self._data.relation))[0][0])

        unit, mean = counting.unit_of(seen), ask(None)
        return mean * unit, max(0.0, ask(mean)) ** 0.5 * unit

    # --- categories -----------------------------------------------------------------------------

    def _categories(self, name: str, like: Categories | None) -> Categories:
        from airflow_ai_provider.core.quality.database import counting
        from airflow_ai_provider.core.quality.database.readings import category_text

        asked, type_ = self._reading(name, Kind.CATEGORY), self.types[name]
        known = tuple(like.counts) if like else ()
        keep = len(known) + (MOST if like is None or like.exact else _LISTED)
        counts: dict[str, int] = {}
        tail_rows = tail = 0
        statement = counting.groups_statement(asked, self._data.relation, keep)
        for value, number, stands_for in self._data.rows(statement):
            if value is None:
                tail_rows, tail = int(number or 0), int(stands_for)
            else:
                text = category_text(value, type_)
                counts[text] = counts.get(text, 0) + int(number)
        found = Categories(counts=counts, tail_rows=tail_rows, tail_categories=tail)
        hidden = [one for one in known if one not in counts]
        return self._with_rare(found, asked, type_, hidden) if tail and hidden else found

    def _with_rare(
        self, found: Categories, asked: Reading, type_: str, hidden: Sequence[str]
    ) -> Categories:
        """Return ``found`` with categories of the reference taken out of its tail."""
        from airflow_ai_provider.core.quality.database.readings import category_text

        if type_ != "VARCHAR" and type_ not in _WHOLE:
            raise NotOfKindError(f"it is {type_} with more than {MOST:,} different values")
        rare = {
            category_text(value, type_): int(number) for value, number in self._named(asked, hidden)
        }
        return replace(
            found,
            counts={**found.counts, **rare},
            tail_rows=found.tail_rows - sum(rare.values()),
            tail_categories=found.tail_categories - len(rare),
        )

    def _named(self, asked: Reading, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        from airflow_ai_provider.core.quality.database import counting

        for start in range(0, len(names), _NAMED):
            part = names[start : start + _NAMED]
            yield from self._data.rows(counting.known_statement(asked, self._data.relation, part))


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else float(value)
