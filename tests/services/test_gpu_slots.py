"""Where a ticket may be served, and what is free, without taking it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool, Lease
from airflow_ai_provider.services.gpu_placing import host_for
from airflow_ai_provider.services.gpu_slots import free_slots
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_quotas import set_quota
from airflow_ai_provider.store.gpu_turns import Turns


def pool_of(folder: Path, host: str, devices: str) -> GpuPool:
    settings = GpuSettings(device_host=host, static_devices=devices)
    return GpuPool(Store.open(f"sqlite:///{folder}/ai.db"), settings)


def take(pool: GpuPool, request: GpuRequest | None = None, holder: str = "h") -> Lease:
    lease = pool.try_acquire(pool.ticket(request or GpuRequest.of(), holder=holder))
    assert lease is not None
    return lease


@pytest.fixture
def big(tmp_path: Path) -> GpuPool:
    """A pool on the host ``big``, which has registered two devices with memory."""
    pool = pool_of(tmp_path, "big", "gpu:0@16GiB,gpu:1@16GiB")
    pool.release(take(pool))
    return pool


@pytest.mark.parametrize(
    ("here", "devices", "request_", "host"),
    [
        ("big", "gpu:0@16GiB,gpu:1@16GiB", GpuRequest.of(gpus=2), "big"),
        ("small", "cpu:0", GpuRequest.of(gpus=1), "small"),
        ("small", "cpu:0", GpuRequest.of(gpus=2), None),
        ("small", "cpu:0", GpuRequest.of(gpu_memory="4GiB"), None),
        ("small", "", GpuRequest.of(gpus=1), None),
        ("small", "cpu:0", GpuRequest.of(gpus=9), "small"),
    ],
)
def test_a_ticket_is_bound_to_its_host_unless_only_another_can_serve_it(
    big: GpuPool, tmp_path: Path, here: str, devices: str, request_: GpuRequest, host: str | None
) -> None:
    assert host_for(pool_of(tmp_path, here, devices), request_) == host


def test_a_share_that_a_quota_allows_only_of_a_larger_card_waits_for_that(
    big: GpuPool, tmp_path: Path
) -> None:
    here = pool_of(tmp_path, "small", "gpu:0@4GiB")
    turns = Turns(big.gpu.store)
    request = GpuRequest.of(gpu_memory="3GiB", team="vision")
    assert host_for(here, request) == "small"
    set_quota(turns, Quota(kind="team", name="vision", ceiling=0.5))
    assert host_for(here, request) is None
    assert host_for(big, request) == "big"
    ticket = replace(here.ticket(request, holder="h"), host=host_for(here, request))
    assert here.try_acquire(ticket) is None  # it is granted on the other host
    set_quota(turns, Quota(kind="team", name="vision", ceiling=0.1))
    ticket = replace(here.ticket(request, holder="i"), host=host_for(here, request))
    with pytest.raises(GpuRequestError, match=r"the quota of team 'vision' has the ceiling 0\.1"):
        here.try_acquire(ticket)


def test_what_a_lease_holds_is_not_free(big: GpuPool) -> None:
    store = big.gpu.store
    whole = GpuRequest.of(gpus=2)
    assert set(free_slots(store, whole).devices) == {"gpu:0", "gpu:1"}
    share = take(big, GpuRequest.of(gpu_memory="10GiB"))
    assert free_slots(store, whole).reason == "devices_busy"
    assert not free_slots(store, whole)
    assert free_slots(store, GpuRequest.of(gpus=1)).devices != share.devices
    assert free_slots(store, GpuRequest.of(gpu_memory="6GiB")).devices == share.devices
    assert big.status()["queue"] == []
    big.release(share)


def test_what_no_host_could_ever_serve_is_refused(big: GpuPool) -> None:
    with pytest.raises(GpuRequestError, match="no host has more than 2"):
        free_slots(big.gpu.store, GpuRequest.of(gpus=3))
