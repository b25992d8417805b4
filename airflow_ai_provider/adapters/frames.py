"""Data in memory: a frame of pandas, polars or Arrow, which DuckDB scans where it is."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_ai_provider.adapters.duckdb import DuckDBData, make_view
from airflow_ai_provider.adapters.memory import default_memory
from airflow_ai_provider.core.errors import DataReadError

NAMED = "frame://"
_SCANNED = "given"


class Frame:
    """A frame as data: what it is called, and its values' fingerprint."""

    format = "frame"

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.kind = type(frame).__module__.partition(".")[0]
        self.path = f"{NAMED}{self.kind}"

    def need_unchanged(self) -> None:
        """Do nothing: nobody else holds it while it is looked at."""

    def pandas(self) -> Any:
        """Return it as the reference takes it."""
        if self.kind == "pandas":
            return self.frame
        return self.frame.to_pandas()

    def digest(self) -> str | None:
        """Return the SHA-256 of its values; None where they cannot be hashed."""
        if self.kind == "pandas":
            return _pandas_digest(self.frame)
        running = hashlib.sha256()

        class Sink:
            closed = False

            def write(self, block: Any) -> int:
                running.update(block)
                return len(block)

            def flush(self) -> None: ...

            def close(self) -> None: ...

        if self.kind == "polars":
            self.frame.write_ipc_stream(Sink())
        else:
            import pyarrow as pa

            with pa.ipc.new_stream(pa.PythonFile(Sink(), mode="w"), self.frame.schema) as stream:
                stream.write_table(self.frame)
        return running.hexdigest()


def is_frame(data: Any) -> bool:
    """Return whether ``data`` is a frame that can be looked at."""
    kind = type(data).__module__.partition(".")[0]
    return kind in {"pandas", "polars", "pyarrow"} and hasattr(data, "columns")


@contextmanager
def open_frame(data: Any, *, memory_limit: str | None = None) -> Iterator[DuckDBData]:
    """Open a frame; DuckDB reads its memory, and spills what it must sort.

    Columns that pandas holds as Python objects, categories or its own nullable types are told
    apart: the reference judges those.

    :raises DataReadError: two columns have one name, or a name is no text.
    """
    import duckdb

    frame = Frame(data.collect() if type(data).__name__ == "LazyFrame" else data)
    _need_names(frame)
    with tempfile.TemporaryDirectory(prefix="airflow-ai-") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={"memory_limit": memory_limit or default_memory(), "temp_directory": spill},
        )
        try:
            scanned, own = _scannable(frame)
            connection.register(_SCANNED, scanned)
            columns = make_view(connection, f"FROM {_SCANNED}", own)
            yield DuckDBData(connection, frame, columns)
        except duckdb.Error as error:
            raise DataReadError(
                f"Cannot read {frame.path}: {str(error).strip().splitlines()[0][:300]}.",
                remedy="Give columns of one kind each.",
                path=frame.path,
            ) from error
        finally:
            connection.close()


def _need_names(frame: Frame) -> None:
    names = frame.frame.column_names if frame.kind == "pyarrow" else list(frame.frame.columns)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong or len(set(names)) < len(names):
        why = f"the column name {wrong[0]!r} is no text" if wrong else "two columns share a name"
        raise DataReadError(
            f"Cannot read {frame.path}: {why}.", remedy="Rename its columns.", path=frame.path
        )


def _scannable(frame: Frame) -> tuple[Any, dict[str, str]]:
    """Return what DuckDB scans, and why the reference must judge which columns."""
    if frame.kind == "polars":
        return frame.frame.to_arrow(), {}
    if frame.kind != "pandas":
        return frame.frame, {}
    import pandas as pd

    own: dict[str, str] = {}
    changed: dict[str, Any] = {}
    for name, kind in frame.frame.dtypes.items():
        if kind == "object":
            own[name] = "Python objects"
            values = frame.frame[name]
            changed[name] = values.map(lambda v: None if _missing(v) else str(v)).astype(object)
        elif isinstance(kind, pd.CategoricalDtype):
            own[name] = "categories"
            changed[name] = frame.frame[name].astype(object)
        elif pd.api.types.is_extension_array_dtype(kind) and not _plain(kind):
            own[name] = f"pandas' own {kind}"
    return frame.frame.assign(**changed) if changed else frame.frame, own


def _missing(value: Any) -> bool:
    """Return whether pandas takes ``value`` for missing; a list is there."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _plain(kind: Any) -> bool:
    import pandas as pd

    nan_text = isinstance(kind, pd.StringDtype) and kind.na_value is not pd.NA
    return nan_text or isinstance(kind, pd.DatetimeTZDtype)


def _pandas_digest(frame: Any) -> str | None:
    import pandas as pd

    running = hashlib.sha256(repr(list(map(str, frame.dtypes.items()))).encode())
    try:
        for name in frame.columns:
            hashed = pd.util.hash_pandas_object(frame[name], index=False)
            running.update(hashed.to_numpy().tobytes())
    except TypeError:  # lists and dicts among the values
        return None
    return running.hexdigest()
