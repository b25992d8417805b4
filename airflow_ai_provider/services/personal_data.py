"""Personal data: a ready suite that refuses it, and a scan that says where it is.

The suite is also shipped as a file, under the name that ``SHIPPED`` gives: wherever a suite is
asked for, ``airflow-ai:personal_data`` means it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.own import PERSONAL_COLUMN, PERSONAL_TABLE
from airflow_ai_provider.core.quality.personal.kinds import BY_NAME, PersonalKind
from airflow_ai_provider.core.quality.personal.tally import Finding, look_at
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData

SHIPPED = "airflow-ai:personal_data"
SAMPLE = 10_000  # rows of a table


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """Where personal data was found; ``looked_at`` of ``rows`` rows were read."""

    path: str
    rows: int
    looked_at: int
    columns: int
    found: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; no value of a row is in it."""
        return {
            "data": self.path,
            "rows": self.rows,
            "looked_at": self.looked_at,
            "columns": self.columns,
            "found": [finding.as_dict() for finding in self.found],
        }


def personal_data_suite(
    columns: Sequence[str] | None = None,
    *,
    kinds: Sequence[str] | None = None,
    severity: str = "critical",
) -> dict[str, Any]:
    """Return the suite that refuses personal data in ``columns``; without them, in any.

    ``kinds`` are names of ``core.quality.personal.kinds``; all unless said.
    """
    some = {"kinds": list(kinds)} if kinds else {}
    about: list[tuple[str, dict[str, Any]]] = [(PERSONAL_TABLE, some)]
    if columns is not None:
        about = [(PERSONAL_COLUMN, {"column": name, **some}) for name in columns]
    notes = "E-mail, telephone, bank, card and identity numbers, by their checksums where any is."
    return {
        "name": "personal_data",
        "expectations": [
            {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"notes": notes}}
            for kind, kwargs in about
        ],
        "meta": {"notes": "Its expectations are airflow-ai-provider's own."},
    }


def scan(
    data: Any,
    *,
    kinds: Sequence[str] | None = None,
    except_columns: Sequence[str] = (),
    sample: int = SAMPLE,
    memory_limit: str | None = None,
    time_limit: float = DEFAULT_TIME,
) -> ScanResult:
    """Return the personal data in ``data``: every row of files and frames, a sample of a table.

    :raises QualityError: there is no such kind.
    :raises DataReadError: the data is absent, cut short or malformed, or the database was lost.
    """
    wanted = _kinds(kinds)
    if type(data).__name__ == "SqlSource":
        return _scan_table(data, wanted, except_columns, sample, time_limit)
    from airflow_ai_provider.adapters.duckdb import open_data
    from airflow_ai_provider.adapters.frames import is_frame, open_frame
    from airflow_ai_provider.adapters.personal_duckdb import scan as scanned
    from airflow_ai_provider.core.quality.check import RELATION

    opening = open_frame if is_frame(data) else open_data
    with opening(data, memory_limit=memory_limit) as opened:
        names = [c.name for c in opened.columns if c.name not in except_columns]
        rows = int(opened.row(f"SELECT count(*) FROM {RELATION}")[0])  # noqa: S608
        found = scanned(opened, names, wanted)
        opened.files.need_unchanged()
        return ScanResult(
            path=opened.files.path,
            rows=rows,
            looked_at=rows,
            columns=len(names),
            found=tuple(found),
        )


def _kinds(names: Sequence[str] | None) -> tuple[PersonalKind, ...]:
    unknown = [name for name in names or () if name not in BY_NAME]
    if unknown:
        raise QualityError(
            f"There is no kind {unknown[0]!r} of personal data.",
            remedy=f"Use some of {', '.join(BY_NAME)}.",
        )
    return tuple(BY_NAME[name] for name in names or BY_NAME)


def _scan_table(
    source: Any,
    kinds: Sequence[PersonalKind],
    except_columns: Sequence[str],
    sample: int,
    time_limit: float,
) -> ScanResult:
    from airflow_ai_provider.adapters.sql_tables import open_table

    with open_table(source, time_limit=time_limit) as opened:
        names = [c.name for c in opened.columns if c.name not in except_columns]
        rows, taken = _rows(opened, names, sample)
        found = [
            finding
            for i, name in enumerate(names)
            for finding in look_at(
                name, [row[i] for row in taken if row[i] is not None], kinds=kinds
            )
        ]
        return ScanResult(
            path=source.address,
            rows=rows,
            looked_at=len(taken),
            columns=len(names),
            found=tuple(found),
        )


def _rows(data: TableData, names: Sequence[str], sample: int) -> tuple[int, list[tuple[Any, ...]]]:
    import sqlalchemy as sa

    rows = int(data.rows(sa.select(sa.func.count()).select_from(data.relation))[0][0])
    listed: list[Any] = [sa.column(name) for name in names]
    if not listed:
        return rows, []
    return rows, data.rows(sa.select(*listed).select_from(data.relation).limit(max(1, sample)))
