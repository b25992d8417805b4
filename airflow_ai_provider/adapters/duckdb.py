"""Data in files, read by DuckDB: Parquet, CSV, JSON and JSON Lines."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from airflow_ai_provider.adapters.data_files import DataFiles, find_files, unreadable
from airflow_ai_provider.adapters.memory import default_memory
from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import DataReadError, QualityError
from airflow_ai_provider.core.quality.check import RELATION
from airflow_ai_provider.core.quality.sql import Column, Family, text

# What pandas' read_csv takes for missing.
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_COUNTED = ("parquet", "frame")  # what says how many rows it has, and an integer's extent


class Source(Protocol):
    """What is open: files, or a frame."""

    @property
    def path(self) -> str:
        """What errors call it."""

    @property
    def format(self) -> str:
        """``parquet``, ``csv``, ``json`` or ``frame``."""

    def need_unchanged(self) -> None:
        """Make sure that what was read is what was fingerprinted."""


class DuckDBData:
    """One open data set: the view ``data`` over its files or frame, NaN read as missing."""

    def __init__(self, connection: Any, files: Source, columns: tuple[Column, ...]) -> None:
        self._connection = connection
        self.files = files
        self.columns = columns

    @property
    def on_disk(self) -> DataFiles:
        """The files that are open.

        :raises DataReadError: it is a frame, which has none.
        """
        if not isinstance(self.files, DataFiles):
            raise DataReadError(
                f"{self.files.path} is a frame: it has no files.",
                remedy="Write it to Parquet first, or leave out what asks for files.",
            )
        return self.files

    @property
    def count(self) -> int | None:
        """How many rows there are, where that costs next to nothing."""
        if self.files.format not in _COUNTED:
            return None
        return int(self.row(f"SELECT count(*) FROM {RELATION}")[0])  # noqa: S608

    def extent(self, column: Column) -> tuple[int, int] | None:
        """Return the least and the greatest integer of ``column``, where they cost next to nothing.

        DuckDB takes them from the statistics of a Parquet file, and from a frame in a moment.
        """
        if self.files.format not in _COUNTED or column.family is not Family.INTEGER:
            return None
        low, high = self.row(f"SELECT min({column.sql}), max({column.sql}) FROM {RELATION}")  # noqa: S608
        return None if low is None else (int(low), int(high))

    def row(self, statement: str) -> tuple[Any, ...]:
        """Return the only row of ``statement``."""
        return tuple(self.rows(statement)[0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of ``statement``.

        :raises DataReadError: the files cannot be read to their end.
        """
        with _reading(self.files):
            return [tuple(row) for row in self._connection.execute(statement).fetchall()]

    def arrays(self, statement: str) -> dict[str, Any]:
        """Return the columns of ``statement`` as numpy arrays; none of them may be null.

        :raises DataReadError: the files cannot be read to their end.
        """
        with _reading(self.files):
            return dict(self._connection.execute(statement).fetchnumpy())

    def stream(self, statement: str, *, size: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``statement``, held in memory ``size`` at a time.

        The connection can do nothing else meanwhile.

        :raises DataReadError: the files cannot be read to their end.
        """
        with _reading(self.files):
            result = self._connection.execute(statement)
            while rows := result.fetchmany(size):
                yield from rows

    def frame(self) -> Any:
        """Return the whole data as pandas reads it, in the order of the files.

        DuckDB's own frames have other types than ``pandas.read_parquet`` gives: integers with
        missing values, dates and decimals differ.
        """
        given = getattr(self.files, "pandas", None)
        if given is not None:
            return given()
        with _reading(self.files), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # DuckDB's own use of pandas
            whole = self._connection.sql(f"SELECT * FROM {RELATION}")  # noqa: S608
            try:
                import pyarrow  # noqa: F401
            except ImportError:
                return _as_read(whole.df(), self.columns)
            return whole.to_arrow_table().to_pandas()

    def add_numbers(self, name: str, numbers: Sequence[int]) -> None:
        """Make the table ``name`` of row ``numbers``, to join failing rows with."""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} (number BIGINT)")
        if numbers:
            self._connection.execute(
                f"INSERT INTO {name} SELECT unnest(?::BIGINT[])",
                [list(numbers)],
            )

    def write_parquet(self, statement: str, target: Path) -> int:
        """Write the rows of ``statement`` as Parquet; return how many."""
        with _reading(self.files):
            return copy_to_parquet(self._connection, statement, target)


def copy_to_parquet(connection: Any, statement: str, target: Path) -> int:
    """Write the rows of ``statement`` as Parquet; return how many.

    They go to a temporary name beside ``target``, which is replaced only when all are written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as unfinished:
        (count,) = connection.execute(
            f"COPY ({statement}) TO {text(str(unfinished))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
    return int(count)


def _as_read(frame: Any, columns: Sequence[Column]) -> Any:
    """Return DuckDB's ``frame`` with the types that pandas would have read."""
    for column in columns:
        name, values = column.name, frame[column.name]
        if str(values.dtype).startswith(("Int", "UInt")):
            frame[name] = values.astype("float64")
        elif str(values.dtype) == "boolean" or column.type.startswith("DECIMAL"):
            frame[name] = values.astype(object)
        elif column.type == "DATE":
            frame[name] = values.dt.date
    return frame


@contextmanager
def open_data(
    path: str | os.PathLike[str], *, memory_limit: str | None = None
) -> Iterator[DuckDBData]:
    """Open the data at ``path`` (a file, a glob or a folder) in bounded memory.

    Unless ``memory_limit`` says otherwise it takes what its pod or control group leaves it, 2 GiB
    at most. What does not fit spills into a temporary folder that goes away with the connection.

    :raises DataReadError: it is absent, cut short or malformed; the message names the file.
    """
    import duckdb

    files = find_files(path)
    with tempfile.TemporaryDirectory(prefix="airflow-ai-") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={"memory_limit": memory_limit or default_memory(), "temp_directory": spill},
        )
        try:
            with _reading(files, opening=True):
                columns = make_view(connection, f"SELECT * FROM {_scan(files)}", {})  # noqa: S608
            yield DuckDBData(connection, files, columns)
        finally:
            connection.close()


def make_view(connection: Any, query: str, own: Mapping[str, str]) -> tuple[Column, ...]:
    """Make the view that every statement reads; return its columns.

    ``own`` says of which columns only the reference can judge, and what they hold.
    """
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    columns = tuple(
        Column(name=str(row[0]), type=str(row[1]), own=own.get(row[0])) for row in described
    )
    listed = ", ".join(column.as_seen for column in columns)
    connection.execute(f"CREATE TEMP VIEW {RELATION} AS SELECT {listed} FROM ({query})")  # noqa: S608
    return columns


def _scan(files: DataFiles) -> str:
    listed = "[" + ", ".join(text(str(file)) for file in files.files) + "]"
    if files.format == "parquet":
        return f"read_parquet({listed}, union_by_name = true)"
    if files.format == "json":
        lines = any(".json" not in file.suffixes for file in files.files)
        shape = "newline_delimited" if lines else "auto"
        return f"read_json({listed}, format = '{shape}', sample_size = -1, union_by_name = true)"
    missing = ", ".join(text(value) for value in _MISSING)
    separator = "\t" if all(".tsv" in file.suffixes for file in files.files) else ","
    return (
        f"read_csv({listed}, delim = {text(separator)}, header = true, quote = '\"', "
        f"escape = '\"', skip = 0, comment = '', sample_size = -1, strict_mode = true, "
        f"null_padding = false, nullstr = [{missing}], union_by_name = true, "
        f"auto_type_candidates = ['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR'])"
    )


@contextmanager
def _reading(files: Source, *, opening: bool = False) -> Iterator[None]:
    """Turn DuckDB's complaint about the data into ours, which names the file."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise unreadable(
            files.path,
            f"it does not fit the memory limit: {_first_line(error)}",
            "Raise the limit.",
        ) from error
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        if opening:  # a file whose columns cannot be made out
            raise _damaged(files, error) from error
        raise QualityError(
            f"Cannot measure {files.path}: {_first_line(error)}.", path=files.path
        ) from error
    except duckdb.Error as error:
        raise _damaged(files, error) from error


def _damaged(files: Source, error: Exception) -> DataReadError:
    return unreadable(
        files.path,
        f"it is damaged, cut short or malformed: {_first_line(error)}",
        "Ask for a new delivery.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
