"""Quotas, on every kind of store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import QuotaError
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_quotas import (
    find_quota,
    read_quotas,
    remove_quota,
    set_quota,
)
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.testing import FakeClock, fake_devices

HERE = Host(name="testhost", boot_id="boot-1")
ME = Process(pid=100, start=1, uid=0)


def quotas_of(store: Store) -> list[Quota]:
    with store.read() as connection:
        return read_quotas(connection)


def test_a_quota_is_written_replaced_and_removed(store: Store) -> None:
    assert quotas_of(store) == []
    first = Quota(kind="team", name="vision", guaranteed=2, ceiling=4)
    set_quota(Turns(store), first)
    assert quotas_of(store) == [first]
    second = Quota(kind="team", name="vision", weight=3)
    set_quota(Turns(store), second)
    assert quotas_of(store) == [second]
    assert find_quota(store, pool="default", kind="team", name="vision") == second
    assert remove_quota(Turns(store), pool="default", kind="team", name="vision") == second
    assert quotas_of(store) == []
    assert find_quota(store, pool="default", kind="team", name="vision") is None


def test_the_same_name_is_another_in_another_pool_or_kind(store: Store) -> None:
    all_of_them = [
        Quota(kind="team", name="a", weight=2),
        Quota(kind="team", name="b", guaranteed=0.5),
        Quota(kind="project", name="a", ceiling=1.5),
        Quota(kind="phase", name="pilot", guaranteed=1),
        Quota(kind="team", name="a", pool="inference", guaranteed=1),
    ]
    for quota in reversed(all_of_them):
        set_quota(Turns(store), quota)
    assert quotas_of(store) == all_of_them
    remove_quota(Turns(store), pool="default", kind="team", name="a")
    assert quotas_of(store) == all_of_them[1:]


def test_what_is_not_there_cannot_be_removed(store: Store) -> None:
    with pytest.raises(QuotaError, match="no quota in pool 'default'") as caught:
        remove_quota(Turns(store), pool="default", kind="team", name="ghost")
    assert caught.value.remedy


def test_a_changed_quota_lets_in_who_waited_for_it(store: Store) -> None:
    clock = FakeClock()
    gpu, turns = GpuStore(store, HERE, ttl=60, clock=clock), Turns(store, clock=clock)
    set_quota(turns, Quota(kind="team", name="vision", ceiling=1))
    for holder in "abc":
        ticket = Ticket(holder=holder, request=GpuRequest.of(team="vision"), host=HERE.name)
        asked = gpu.ask(ticket, process=ME, devices=fake_devices(3))
    assert (asked.lease, asked.reason) == (None, "quota_reached")
    assert len(gpu.leases()) == 1
    set_quota(turns, Quota(kind="team", name="vision", ceiling=2))
    assert len(gpu.leases()) == 2
    remove_quota(turns, pool="default", kind="team", name="vision")
    assert len(gpu.leases()) == 3


def test_many_may_write_the_same_quota_at_once(postgres_store: str) -> None:
    store = Store.open(postgres_store)
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        for weight in range(1, 6):
            set_quota(Turns(store), Quota(kind="team", name="vision", weight=weight + number / 10))
            if number % 4 == 0:
                with suppress(QuotaError):
                    remove_quota(Turns(store), pool="default", kind="team", name="vision")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    set_quota(Turns(store), Quota(kind="team", name="vision", weight=9))
    assert quotas_of(store) == [Quota(kind="team", name="vision", weight=9)]
    store.close()


numbers = st.one_of(st.floats(), st.integers(-3, 9))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["team", "project", "phase", "clan", ""]),
    name=st.one_of(st.sampled_from(["pilot", "production"]), st.text(max_size=3)),
    weight=numbers,
    guaranteed=numbers,
    ceiling=st.one_of(st.none(), numbers),
)
def test_a_quota_means_something_or_is_refused(
    kind: str, name: str, weight: float, guaranteed: float, ceiling: float | None
) -> None:
    try:
        quota = Quota(kind=kind, name=name, weight=weight, guaranteed=guaranteed, ceiling=ceiling)
    except QuotaError:
        return
    assert quota.kind in {"team", "project", "phase"}
    assert quota.name.strip()
    assert quota.weight > 0
    assert quota.guaranteed >= 0
    assert quota.ceiling is None or quota.ceiling >= quota.guaranteed
