"""What lies in the home of a finished demo, and how to look at it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

FLIGHTS, DIGITS = "flight_delays", "handwritten_digits"

Row = sqlite3.Row
Check = Callable[["Demo"], str]
CHECKS: list[tuple[str, Check]] = []


def must(statement: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS.append((statement, check))
        return check

    return add


class WrongError(Exception):
    """What was found is not what must hold."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise WrongError(what)


class Demo:
    """What lies in the home of a finished demo."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("airflow.db", "airflow_ai.db", "mlflow.db", "report.html"):
            if not (home / name).is_file():
                raise FileNotFoundError(f"{home / name} is not there: no demo finished here")
        self.records = [_gate(row) for row in self.ours("SELECT * FROM gate_record ORDER BY 1")]
        self._client: Any = None

    def ours(self, query: str, *values: Any) -> list[Row]:
        return self._rows("airflow_ai.db", query, values)

    def airflow(self, query: str, *values: Any) -> list[Row]:
        return self._rows("airflow.db", query, values)

    def gates(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        return [
            record
            for record in self.records
            if record["kind"] == kind and all(record[k] == v for k, v in wanted.items())
        ]

    @property
    def mlflow(self) -> Any:
        if self._client is None:
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(f"sqlite:///{self.home / 'mlflow.db'}")
        return self._client

    def aliases(self, model: str) -> dict[str, str]:
        found = self.mlflow.get_registered_model(model).aliases
        return {alias: str(version) for alias, version in found.items()}

    def _rows(self, name: str, query: str, values: tuple[Any, ...]) -> list[Row]:
        with closing(sqlite3.connect(f"file:{self.home / name}?mode=ro", uri=True)) as database:
            database.row_factory = Row
            return database.execute(query, values).fetchall()


def _gate(row: Row) -> dict[str, Any]:
    return {
        name: json.loads(row[name]) if name in {"criteria", "evidence"} else row[name]
        for name in row.keys()  # noqa: SIM118 - a Row is no dict
    }


def moment(text: Any) -> datetime:
    found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def lease_of(demo: Demo, record: dict[str, Any]) -> Row:
    return lease(demo, record["evidence"]["training"]["lease"] or "none")


def lease(demo: Demo, mark: str) -> Row:
    name, _, fence = mark.partition(":")
    found = demo.ours("SELECT * FROM lease WHERE id = ? AND fence = ?", name, fence)
    require(found, f"there is no lease {mark}")
    return found[0]
