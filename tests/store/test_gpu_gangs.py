"""Tickets that are served together or not at all, in every store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_asking import Asked
from airflow_ai_provider.store.gpu_cluster import ClusterStore, Judged
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.testing import FakeClock, fake_devices


@pytest.fixture
def leases(store: Store) -> ClusterStore:
    """Two hosts with two devices each."""
    found = ClusterStore(store, Turns(store, clock=FakeClock()))
    devices = {
        name: tuple(replace(device, host=name) for device in fake_devices(2)) for name in "ab"
    }
    found.settle(devices, Judged(alive={}, ended={}), boot_id="boot")
    return found


def gang(holder: str, size: int, *, gpus: int = 2, try_number: int = 1) -> list[Ticket]:
    task = TaskIdentity(dag_id="d", run_id="r", task_id=holder[0], map_index=-1,
                        try_number=try_number)  # fmt: skip
    request = replace(GpuRequest.of(gpus=gpus), gang=holder, gang_size=size)
    return [
        Ticket(holder=holder, request=request, name=f"gpu-{number}", task=task)
        for number in range(size)
    ]


def served(asked: list[Asked]) -> list[LeaseRecord]:
    return [one.lease for one in asked if one.lease is not None]


def end(leases: ClusterStore, records: list[LeaseRecord]) -> None:
    ended = {(record.id, record.fence): "done" for record in records}
    leases.settle({}, Judged(alive={}, ended=ended), boot_id="boot")


def test_all_are_claimed_at_once_and_the_next_gang_holds_nothing(leases: ClusterStore) -> None:
    first = served(leases.ask_all(gang("x", 2)))
    assert sorted(record.host for record in first) == ["a", "b"]
    assert {record.state for record in first} == {LeaseState.ACTIVE}
    assert leases.held_by("x") == first or leases.held_by("x") == first[::-1]
    again = served(leases.ask_all(gang("x", 2)))  # the same tickets are the same leases
    assert {r.id for r in again} == {r.id for r in first}
    waiting = leases.ask_all(gang("y", 2))
    assert served(waiting) == []
    end(leases, first[:1])
    assert served(leases.ask_all(gang("y", 2))) == []  # one host is free: half of it
    (single,) = leases.ask_all([replace(gang("z", 1)[0], request=GpuRequest.of(gpus=1))])
    assert single.lease is not None
    end(leases, [*first[1:], single.lease])
    assert len(served(leases.ask_all(gang("y", 2)))) == 2


def test_one_that_gives_up_takes_the_others_with_it(leases: ClusterStore) -> None:
    taken = served(leases.ask_all(gang("x", 2)))
    tickets = gang("y", 2)
    assert {one.reason for one in leases.ask_all(tickets)} != {""}
    leases.withdraw(tickets[1].id, reason="killed")
    end(leases, taken)
    assert leases.held_by("y") == []
    assert len(served(leases.ask_all(gang("w", 2)))) == 2


def test_a_newer_try_takes_the_place_of_all_of_an_older_one(leases: ClusterStore) -> None:
    old = served(leases.ask_all(gang("x1", 2)))
    assert served(leases.ask_all(gang("x2", 2, try_number=2))) == []  # until their pods are gone
    assert {record.revoked for record in leases.held_by("x1")} == {True}
    end(leases, old)
    assert len(served(leases.ask_all(gang("x2", 2, try_number=2)))) == 2


def test_more_than_all_hosts_have_room_for_is_refused(leases: ClusterStore) -> None:
    asked = leases.ask_all(gang("x", 3))
    assert {one.state for one in asked} == {RequestState.REFUSED}
    assert "3 times 2 devices" in asked[0].reason
