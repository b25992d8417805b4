"""Held-out predictions in a Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.quality.sql import identifier

if TYPE_CHECKING:
    from airflow_ai_provider.core.promotion.metrics import Array


def file_of(place: str) -> Path:
    """Return the file that a path or a ``file://`` address names.

    :raises EvidenceError: there is no such file.
    """
    parts = urlsplit(place)
    if parts.scheme not in {"", "file"}:
        raise EvidenceError(
            f"The predictions are at {place!r}, which cannot be read from here.",
            remedy="Write them to a file that the worker can read.",
        )
    path = Path(unquote(parts.path) if parts.scheme else place)
    if not path.is_file():
        raise EvidenceError(
            f"There are no predictions at {path}.",
            remedy="Check that the training task wrote them where this worker can read.",
            path=str(path),
        )
    return path


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, Array]:
    """Return ``columns`` of a Parquet file, numbers as floats with NaN for null, the rest as text.

    :raises EvidenceError: it is no whole Parquet file, or a column is missing.
    """
    import duckdb

    connection = duckdb.connect()
    try:
        connection.execute("SET threads = 1")
        described = connection.execute("DESCRIBE FROM read_parquet(?)", [str(path)]).fetchall()
        types = {row[0]: str(row[1]) for row in described}
        _refuse_missing(path, columns, types)
        wanted = ", ".join(_cast(column, types[column]) for column in columns)
        found = connection.execute(f"SELECT {wanted} FROM read_parquet(?)", [str(path)])  # noqa: S608
        return {name: _dense(values) for name, values in found.fetchnumpy().items()}
    except duckdb.Error as error:
        raise EvidenceError(
            f"The predictions {path} cannot be read: {str(error).splitlines()[0]}.",
            remedy="Write them again as Parquet; the file may be cut short.",
            path=str(path),
        ) from error
    finally:
        connection.close()


def _refuse_missing(path: Path, columns: Sequence[str], types: dict[str, str]) -> None:
    missing = [column for column in columns if column not in types]
    if missing:
        raise EvidenceError(
            f"The predictions {path} have no column {', '.join(missing)}.",
            remedy=f"There are {', '.join(types)}: name them in the evidence or write them.",
            missing=missing,
        )


def _cast(column: str, kind: str) -> str:
    name = identifier(column)
    numeric = kind.startswith(("DECIMAL", "FLOAT", "DOUBLE")) or kind.endswith("INT")
    target = "DOUBLE" if numeric or kind in {"BOOLEAN", "INTEGER", "UINTEGER"} else "VARCHAR"
    return f"CAST({name} AS {target}) AS {name}"


def _dense(values: Any) -> Array:
    """Return a column without a mask: NaN for a missing number, "" for a missing text."""
    import numpy as np

    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(values.filled(np.nan if values.dtype.kind == "f" else ""))
    if values.dtype.kind == "O":
        return np.asarray(["" if value is None else value for value in values], dtype=object)
    return np.asarray(values)
