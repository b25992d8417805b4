"""Statements that are compiled once and handed to the driver as they stand.

An ask or a release of GPUs is a handful of one-row statements, and of each SQLAlchemy's own
execution costs several times what the database needs for it. What such a statement returns comes
as the driver gives it: for texts and numbers that is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

Build = Callable[[str], Any]


class _Compiled:
    """A statement as one dialect has it."""

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._positional = bool(compiled.positional)
        names = list(compiled.positiontup or compiled.binds)
        processors = {
            name: compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            for name in names
        }
        self._processors = [(n, process) for n, process in processors.items() if process]
        self._fixed = {
            name: bind.value for name, bind in compiled.binds.items() if not bind.required
        }
        self._in_order = itemgetter(*names) if len(names) > 1 else None
        self._names = names

    def bound(self, values: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver takes them."""
        found = {**self._fixed, **values}
        for name, process in self._processors:
            found[name] = process(found[name])
        if self._positional:
            if self._in_order is not None:
                return self._in_order(found)
            return tuple(found[name] for name in self._names)
        return {name: found[name] for name in self._names}


class Prepared:
    """A statement, built by ``build(dialect name)``, whose parameters are all named."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def __call__(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        """Execute it once and return the result."""
        compiled = self._for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, compiled.bound(values))

    def each(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of ``rows``."""
        compiled = self._for(connection.dialect)
        connection.exec_driver_sql(compiled.text, [compiled.bound(row) for row in rows])

    def _for(self, dialect: sa.Dialect) -> _Compiled:
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = _Compiled(self._build(dialect.name), dialect)
        return self._compiled[dialect.name]
