"""A reference profile: what drift is measured against when the reference data is not kept.

One JSON document, of format ``airflow-ai-profile`` and version 1::

    {"format": "airflow-ai-profile", "version": 1, "made_at": TIME, "rows": N,
     "source": {"path", "digest", "size"} (of a table also {"looked_at", "query_digest"}),
     "columns": [{"name", "type", "kind", "rows" (with a value), ...}]}

A column of numbers or times has ``points`` (ascending; infinities by name), ``below`` and
``at_most`` (rows below each point, and at or below it), ``mean`` and ``deviation``. All different
values are points where they are at most 2,000; else less than a 1,000th of the rows lies between
two points. Bin shares (PSI, Jensen-Shannon) and the missing rate are exact either way. A column of
categories has ``categories`` (the most frequent 1,000, with their rows) and ``tail`` (how many
others, and their rows). So it names categories and some values: it is as confidential as the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.drift.categories import Categories
from airflow_ai_provider.core.quality.drift.columns import ColumnValues, NotOfKindError, Values
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.numbers import Sample, Sketch

FORMAT, VERSION = "airflow-ai-profile", 1
LISTED = 1_000  # categories that a profile names
_OPENING = f'{{"format": "{FORMAT}"'


@dataclass(frozen=True, kw_only=True)
class ReferenceProfile:
    """A stored reference; it stands where the reference's data would."""

    rows: int
    columns: tuple[ColumnValues, ...]
    source: Mapping[str, Any]
    made_at: str

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB's type of each column."""
        return {column.name: column.type for column in self.columns}

    def look_ahead(self, names: Sequence[str]) -> None:
        """Do nothing: everything is at hand."""

    def column(
        self, name: str, kind: Kind | None = None, *, like: Values | None = None
    ) -> ColumnValues:
        """Return column ``name``.

        :raises NotOfKindError: the profile holds it as another kind.
        """
        found = next(column for column in self.columns if column.name == name)
        if kind not in {None, found.kind}:
            raise NotOfKindError(f"its profile holds it as a {found.kind.value}")
        return found

    def dumps(self) -> str:
        """Return it as JSON text, a column a line."""
        head = {
            "format": FORMAT,
            "version": VERSION,
            "made_at": self.made_at,
            "rows": self.rows,
            "source": dict(self.source),
        }
        columns = ",\n".join(json.dumps(_written(c), ensure_ascii=False) for c in self.columns)
        opening = json.dumps(head, ensure_ascii=False)[:-1]
        return f'{opening}, "columns": [\n{columns}\n]}}\n'


def looks_like_profile(opening: bytes) -> bool:
    """Whether a file that begins with ``opening`` is meant to be a profile."""
    start = opening.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    return "".join(start.split()).startswith("".join(_OPENING.split()))


def stored(column: ColumnValues) -> ColumnValues:
    """Return ``column`` as a profile keeps it: a sketch, or the most frequent categories."""
    values = column.values
    kept = Sketch.of(values) if isinstance(values, Sample) else values
    kept = kept.cut(LISTED) if isinstance(kept, Categories) else kept
    return ColumnValues(
        name=column.name, type=column.type, kind=column.kind, rows=column.rows, values=kept
    )


def _written(column: ColumnValues) -> dict[str, Any]:
    values = column.values
    head: dict[str, Any] = {"name": column.name, "type": column.type}
    head |= {"kind": column.kind.value, "rows": values.count}
    if isinstance(values, Categories):
        tail = {"categories": values.tail_categories, "rows": values.tail_rows}
        return {**head, "categories": dict(values.counts), "tail": tail}
    assert isinstance(values, Sketch)  # noqa: S101 - what ``stored`` makes
    return {
        **head,
        "points": [_number(p) for p in values.points.tolist()],
        "below": values.rows_below.tolist(),
        "at_most": values.rows_at_most.tolist(),
        "mean": _number(values.centre),
        "deviation": _number(values.spread),
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def parse_profile(text: str | bytes, path: str) -> ReferenceProfile:
    """Return the profile that ``text`` holds; ``path`` is named in errors.

    :raises DataReadError: it is damaged, or of a version that this one does not know.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise ValueError("it is not one")
        if document.get("version") != VERSION:
            raise ValueError(f"its version is {document.get('version')!r}, and {VERSION} is known")
        rows = _count(document["rows"])
        columns = tuple(_columns(document["columns"], rows))
        return ReferenceProfile(
            rows=rows,
            columns=columns,
            source=dict(document["source"]),
            made_at=str(document["made_at"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataReadError(
            f"Cannot read the profile {path}: {why}.",
            remedy="Make it again with `airflow-ai quality profile`.",
            path=path,
        ) from error


def _columns(listed: Any, rows: int) -> Iterator[ColumnValues]:
    names = [entry["name"] for entry in listed]
    if len(set(names)) < len(names):
        raise ValueError("it has two columns of one name")
    for entry in listed:
        name, kind = str(entry["name"]), Kind(entry["kind"])
        values = _categories(entry) if kind is Kind.CATEGORY else _sketch(entry)
        if values.count != _count(entry["rows"]) or values.count > rows:
            raise ValueError(f"the rows of column {name} do not add up")
        yield ColumnValues(name=name, type=str(entry["type"]), kind=kind, rows=rows, values=values)


def _categories(entry: Mapping[str, Any]) -> Categories:
    return Categories(
        counts={str(name): _count(rows) for name, rows in entry["categories"].items()},
        tail_rows=_count(entry["tail"]["rows"]),
        tail_categories=_count(entry["tail"]["categories"]),
    )


def _sketch(entry: Mapping[str, Any]) -> Sketch:
    import numpy as np

    points = np.array([_value(p) for p in entry["points"]])
    below = np.array([_count(n) for n in entry["below"]], dtype=np.int64)
    at_most = np.array([_count(n) for n in entry["at_most"]], dtype=np.int64)
    together = len(points) == len(below) == len(at_most)
    if not (
        together
        and (len(points) == 0 or below[0] == 0)
        and (points[1:] > points[:-1]).all()
        and (at_most > below).all()
        and (below[1:] >= at_most[:-1]).all()
    ):
        raise ValueError(f"the points of column {entry['name']} are not in order")
    return Sketch(
        points=points,
        rows_below=below,
        rows_at_most=at_most,
        centre=float(entry["mean"]),
        spread=float(entry["deviation"]),
    )


def _value(point: Any) -> float:
    if point in {"inf", "-inf"}:
        return float(point)
    if isinstance(point, bool) or not isinstance(point, (int, float)) or math.isnan(point):
        raise ValueError(f"{point!r} is no point")
    return point


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of rows")
    return value
