"""What a function says to look at: an address, a table or a query, or a frame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError

if TYPE_CHECKING:
    from airflow_ai_provider.hooks.quality import DataQualityHook

_PARTS = ("conn_id", "table", "schema", "sql")
_MODULES = ("pandas", "polars", "pyarrow")


def described(
    given: Any, hook: DataQualityHook, *, said_by: str, conn_id: str | None = None
) -> Any:
    """Return what ``DataQualityHook.check`` takes for ``given``, which ``said_by`` returned.

    It is a path or an address, an ``ObjectStoragePath``, a mapping with ``table`` (and ``schema``)
    or ``sql`` and its ``conn_id`` (``conn_id`` here unless it says one), what
    ``DataQualityHook.source`` returns, or a frame of pandas, polars or Arrow.

    :raises DataReadError: it is none of these: a gate that is told nothing has looked at nothing.
    """
    if isinstance(given, str) and given:
        return given
    if isinstance(given, os.PathLike) or type(given).__name__ == "ObjectStoragePath":
        return str(given)  # of an address with its connection, unlike ``os.fspath``
    if isinstance(given, Mapping):
        return _of_mapping(given, hook, said_by, conn_id)
    if type(given).__name__ == "SqlSource" or _is_frame(given):
        return given
    shown = "nothing" if given is None or given == "" else f"a {type(given).__name__}"
    raise DataReadError(
        f"{said_by} returned {shown}: there is no data to look at.",
        remedy="Return a path or an address, {'conn_id': ..., 'table': ...} (or 'sql'), or a frame "
        "of pandas, polars or Arrow.",
    )


def _of_mapping(
    given: Mapping[str, Any], hook: DataQualityHook, said_by: str, conn_id: str | None
) -> Any:
    unknown = sorted(set(map(str, given)) - set(_PARTS))
    parts = {name: given.get(name) for name in _PARTS}
    connection = parts["conn_id"] or conn_id
    if unknown or not connection or (parts["table"] is None) is (parts["sql"] is None):
        why = f"unknown {', '.join(unknown)}" if unknown else "it needs conn_id, and table or sql"
        raise DataReadError(
            f"{said_by} returned a mapping that names no table and no query: {why}.",
            remedy="Return {'conn_id': ..., 'table': ..., 'schema': ...} or {'conn_id', 'sql'}.",
        )
    return hook.source(connection, table=parts["table"], schema=parts["schema"], query=parts["sql"])


def _is_frame(given: Any) -> bool:
    kind = type(given)
    return kind.__module__.partition(".")[0] in _MODULES and hasattr(kind, "columns")
