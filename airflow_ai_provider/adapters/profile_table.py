"""Look at a table where it is: what is there, of which shape, and a sample to look at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.profile import SAMPLE_ROWS, Column, Profile, Sample
from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.gate import plain


def profile_table(url: str, table: str) -> Profile:
    """Return what the table ``table`` (``schema.table`` or ``table``) of a database holds.

    :raises DataReadError: the database cannot be asked, or has no such table.
    """
    with _asking(url, table) as (connection, found):
        columns = list(found.columns)
        times = [c for c in columns if isinstance(c.type, (sa.Date, sa.DateTime))]
        asked = [*(sa.func.count(c) for c in columns), *(sa.func.max(c) for c in times)]
        row = connection.execute(sa.select(sa.func.count(), *asked).select_from(found)).one()
    rows, counts = int(row[0]), row[1 : 1 + len(columns)]
    newest = {c.name: plain(v) for c, v in zip(times, row[1 + len(columns) :], strict=True)}
    return Profile(
        format="table",
        files=0,
        bytes=0,
        rows=rows,
        columns=tuple(
            Column(
                name=c.name, type=str(c.type), nulls=rows - int(count), newest=newest.get(c.name)
            )
            for c, count in zip(columns, counts, strict=True)
        ),
    )


def sample_table(url: str, table: str, target: str, *, rows: int = SAMPLE_ROWS) -> Sample:
    """Write at most ``rows`` rows of a table, as the database gives them, to JSON Lines ``target``.

    :raises DataReadError: the table cannot be read or the sample cannot be written.
    """
    path = Path(target)
    with _asking(url, table) as (connection, found):
        fetched = connection.execute(sa.select(found).limit(rows)).mappings().all()
    text = "".join(json.dumps(plain(dict(row)), ensure_ascii=False) + "\n" for row in fetched)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataReadError(
            f"The sample {target} cannot be written: {error.strerror}.",
            remedy="Name another place under data_sources.sample.",
        ) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Sample(path=str(path), rows=len(fetched), digest=digest)


@contextmanager
def _asking(url: str, table: str) -> Iterator[tuple[sa.Connection, sa.Table]]:
    engine: Any = None
    schema, _, name = table.rpartition(".")
    try:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            found = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=connection)
            yield connection, found
    except sa.exc.NoSuchTableError as error:
        raise DataReadError(
            f"There is no table {table}.", remedy="Correct data_sources.table."
        ) from error
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise DataReadError(
            f"The table {table} cannot be read: {type(error).__name__}.",
            remedy="Look at the connection under data_sources.conn_id, and at who may read.",
        ) from error
    finally:
        if engine is not None:
            engine.dispose()
