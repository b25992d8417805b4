"""Quotas, on every kind of store."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import QuotaError
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_quotas import (
    find_quota,
    read_quotas,
    remove_quota,
    set_quota,
)


def quotas_of(store: Store) -> list[Quota]:
    with store.read() as connection:
        return read_quotas(connection)


def test_a_quota_is_written_replaced_and_removed(store: Store) -> None:
    assert quotas_of(store) == []
    first = Quota(kind="team", name="vision", guaranteed=2, ceiling=4)
    set_quota(store, first)
    assert quotas_of(store) == [first]
    second = Quota(kind="team", name="vision", weight=3)
    set_quota(store, second)
    assert quotas_of(store) == [second]
    assert find_quota(store, pool="default", kind="team", name="vision") == second
    assert remove_quota(store, pool="default", kind="team", name="vision") == second
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
        set_quota(store, quota)
    assert quotas_of(store) == all_of_them
    remove_quota(store, pool="default", kind="team", name="a")
    assert quotas_of(store) == all_of_them[1:]


def test_what_is_not_there_cannot_be_removed(store: Store) -> None:
    with pytest.raises(QuotaError, match="no quota in pool 'default'") as caught:
        remove_quota(store, pool="default", kind="team", name="ghost")
    assert caught.value.remedy


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
