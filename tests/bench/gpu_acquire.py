"""What an uncontended lease costs, against a commit of one row through the same engine.

Both are timed in turn, in one process, with the keeper already up: another lease is held meanwhile.
The commit waits for the disk as the store's own do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.store.engine import Store
from tests.bench.gpu_stores import KINDS, bench
from tests.bench.report import figure, percentile, say

ROUNDS, WARM_UP = 300, 20
_PEER = sa.Table("bench_peer", sa.MetaData(), sa.Column("value", sa.BigInteger))


def measure() -> Iterator[dict[str, Any]]:
    """Time acquires and commits on each kind of store."""
    for kind in KINDS:
        acquires, commits = times(kind)
        for share, most in ((0.5, 4), (0.99, 10)):
            mine, peer = percentile(acquires, share), percentile(commits, share)
            yield figure(
                f"uncontended acquire p{share * 100:g} / one-row commit, {kind}",
                mine / peer, "x", most, peer=f"{1000 * peer:.2f} ms", ratio=mine / peer,
            )  # fmt: skip
            say(f"{kind}: acquire p{share * 100:g} {1000 * mine:.2f} ms")


def times(kind: str) -> tuple[list[float], list[float]]:
    """Return how long each acquire and each commit took, in seconds."""
    with bench(kind, devices=2) as place:
        store = Store.open(place.url)
        pool = GpuPool(store)
        other = pool.acquire(pool.ticket(GpuRequest.of(), holder="other"))
        place.keeper()
        _PEER.create(store.engine)
        acquires, commits = [], []
        for number in range(ROUNDS + WARM_UP):
            ticket = pool.ticket(GpuRequest.of(), holder=f"bench-{number}")
            began = time.perf_counter()
            lease = pool.try_acquire(ticket)
            acquires.append(time.perf_counter() - began)
            assert lease is not None
            pool.release(lease)
            began = time.perf_counter()
            commit_one_row(store, number)
            commits.append(time.perf_counter() - began)
        pool.release(other)
        store.close()
    return acquires[WARM_UP:], commits[WARM_UP:]


def commit_one_row(store: Store, value: int) -> None:
    """Write one row and wait until it is committed."""
    with store.engine.connect() as connection:
        if store.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.execute(_PEER.insert().values(value=value))
        connection.commit()
