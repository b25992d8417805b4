"""A table of a million rows in PostgreSQL: how often it is scanned, and what leaves the server."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from airflow_ai_provider.services.quality import SqlSource, check
from tests.bench.quality_data import ROWS, SUITE, expectation
from tests.bench.report import figure, say
from tests.postgres import postgres_running

_TABLE = """
CREATE TABLE orders AS SELECT
    i AS id,
    i * 7919 % 1000003 AS account,
    random() * 100 AS amount,
    (random() * 1000)::INTEGER AS items,
    CASE WHEN random() < 0.02 THEN NULL ELSE random() END AS share,
    (ARRAY['north', 'east', 'south', 'west'])[1 + i % 4] AS region,
    'user' || (i % 50000) || CASE WHEN i % 1000 = 7 THEN '.example.com' ELSE '@example.com' END
        AS mail,
    (i % 97)::BIGINT AS grade,
    DATE '2020-01-01' + (i % 700)::INTEGER AS day,
    random() * 10 AS score
FROM generate_series(0::BIGINT, {rows} - 1) AS i
"""
# every kind of failure: samples to fetch, copies to count
FAILING = {
    **SUITE,
    "expectations": [
        *SUITE["expectations"],
        expectation("column_values_to_be_unique", column="grade"),
        expectation("column_values_to_be_between", column="amount", max_value=50),
        expectation("column_values_to_not_be_null", column="share"),
    ],
}
_PASSING = [e for e in SUITE["expectations"] if "regex" not in e["type"] and "mostly" not in str(e)]
PASSING = {**SUITE, "expectations": _PASSING}


def measure(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Measure on a server of one's own."""
    with postgres_running() as server, server.database() as url:
        yield from measure_at(url, rows)


def measure_at(url: str, rows: int) -> Iterator[dict[str, Any]]:
    """Count scans by the rows that the server reads, and bytes on the way to us."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE.format(rows=rows))
        connection.execute("VACUUM ANALYZE orders")
    for what, suite, scans in (("that passes", PASSING, 1), ("that fails", FAILING, 2)):
        with counted(url) as (through, traffic):
            before = rows_read(url)
            began, cpu = time.perf_counter(), time.process_time()
            report = check(SqlSource(url=through, table="orders"), suite).report
            seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        assert {result.engine for result in report.results} == {"compiled"}
        assert report.success is (suite is PASSING)
        say(f"a suite {what}: {seconds:.2f} s, {spent:.2f} CPU s of ours")
        name = f"table of {rows // 1000}k rows, a suite {what}"
        yield figure(f"{name}: scans", (rows_read(url) - before) / rows, "", scans)
        yield figure(f"{name}: fetched", traffic["bytes"] / 1024, "KiB", 64)


def rows_read(url: str) -> int:
    """Return how many rows the server has read in scans of the table.

    ``seq_scan`` itself counts each of a scan's parallel workers.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        time.sleep(0.2)  # the session that looked tells of it as it ends
        connection.execute("SELECT pg_stat_force_next_flush()")
        found = connection.execute(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
        ).fetchone()
    assert found is not None
    return int(found[0])


@contextmanager
def counted(url: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield an address that leads to ``url`` and counts the bytes that come from there."""
    [folder] = parse_qs(urlsplit(url).query)["host"]
    traffic = {"bytes": 0}
    with tempfile.TemporaryDirectory() as own, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(own) / ".s.PGSQL.5432"))
        listener.listen()
        arguments = (listener, str(Path(folder) / ".s.PGSQL.5432"), traffic)
        threading.Thread(target=_serve, args=arguments, daemon=True).start()
        through = url.replace("://", "+psycopg://", 1).partition("?")[0]
        yield f"{through}?host={own}", traffic


def _serve(listener: socket.socket, target: str, traffic: dict[str, int]) -> None:
    with suppress(OSError):  # closed at the end
        while True:
            client, _ = listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(target)
            for ends in ((client, server, None), (server, client, traffic)):
                threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, traffic: dict[str, int] | None) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            if traffic is not None:
                traffic["bytes"] += len(block)
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)
