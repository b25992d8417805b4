"""Devices taken out and back, leases taken away: on every store, each with its record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_ai_provider.core.errors import GpuAdminError, LeaseLostError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.store.gpu_admin import (
    DRAINED,
    IN_SERVICE,
    QUARANTINED,
    Person,
    force_release,
    give_up_host,
    set_standing,
)
from airflow_ai_provider.store.gpu_keeper import KeeperStore
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import host
from airflow_ai_provider.testing import FakeClock, fake_devices

ANN = Person(name="ann (uid 7)", reason="its fan is broken")
ME = Process(pid=100, start=1, uid=0)


class Pool:
    """A host's view of the store."""

    def __init__(self, store: Store, name: str = "testhost", devices: int = 1) -> None:
        self.clock = FakeClock()
        self.gpu = GpuStore(store, Host(name=name, boot_id="boot-1"), ttl=60, clock=self.clock)
        self.devices = fake_devices(devices, host=name)

    def ask(self, holder: str, **wants: Any) -> Asked:
        ticket = Ticket(holder=holder, request=GpuRequest.of(**wants), host=self.gpu.here.name)
        return self.gpu.ask(ticket, process=ME, devices=self.devices)

    def stand(self, state: str, *, uuid: str = "fake:0", on_host: str | None = None) -> Any:
        return set_standing(
            self.gpu.store, uuid, on_host=on_host, state=state, by=ANN, clock=self.clock
        )


@pytest.fixture
def pool(store: Store) -> Pool:
    return Pool(store)


@pytest.mark.parametrize("state", [DRAINED, QUARANTINED])
def test_a_device_out_of_service_is_granted_no_more_and_held_on(pool: Pool, state: str) -> None:
    held = pool.ask("a").lease
    assert held is not None
    done = pool.stand(state)
    assert (done["was"], done["is"], done["host"]) == ("in service", state, "testhost")
    assert pool.gpu.leases()[0].state is LeaseState.ACTIVE
    pool.gpu.release(held.id, held.fence)
    assert pool.ask("b").lease is None
    (shown,) = snapshot(pool.gpu.store)["devices"]
    assert (shown["health"], shown["reason"]) == (state, "its fan is broken")


def test_a_device_back_in_service_goes_to_who_waits(pool: Pool) -> None:
    pool.ask("a")
    pool.stand(DRAINED)
    held = pool.gpu.leases()[0]
    pool.gpu.release(held.id, held.fence)
    assert pool.ask("b").lease is None
    done = pool.stand(IN_SERVICE)
    assert (done["was"], done["is"]) == (DRAINED, "in service")
    assert pool.ask("b").lease is not None


def test_each_decision_is_recorded_with_who_and_why(pool: Pool) -> None:
    pool.ask("a")
    done = pool.stand(DRAINED)
    (record,) = Ledger(pool.gpu.store).search(kind=GateKind.DEVICE)
    assert record.id == done["record"]
    assert (record.subject, record.verdict) == ("device://testhost/fake:0", "override")
    assert record.decided_by == "ann (uid 7)"
    assert record.criteria[0]["sentence"] == "its fan is broken"


def test_a_device_that_several_hosts_have_must_be_told_apart(pool: Pool, store: Store) -> None:
    pool.ask("a")
    Pool(store, "other").ask("b")
    with pytest.raises(GpuAdminError, match="other, testhost"):
        pool.stand(DRAINED)
    assert pool.stand(DRAINED, on_host="other")["host"] == "other"
    with pytest.raises(GpuAdminError, match="No device 'nope'"):
        pool.stand(DRAINED, uuid="nope")


def test_a_lease_taken_by_force_is_handed_on_and_its_keeper_hears_of_it(pool: Pool) -> None:
    held = pool.ask("a").lease
    assert held is not None
    assert pool.ask("b").lease is None
    done = force_release(pool.gpu.store, held.id, by=ANN, clock=pool.clock)
    assert (done["lease"], done["was"], done["devices"]) == (held.id, "active", ["fake:0"])
    after = pool.ask("b").lease
    assert after is not None
    assert after.fence > held.fence
    visit = KeeperStore(pool.gpu).visit({held.id: held.fence})
    assert visit.taken == {held.id: "ann (uid 7): its fan is broken"}
    with pytest.raises(LeaseLostError):
        pool.gpu.release(held.id, held.fence)
    (record,) = Ledger(pool.gpu.store).search(kind=GateKind.DEVICE)
    assert record.evidence["lease"] == held.id
    with pytest.raises(GpuAdminError, match="No live lease"):
        force_release(pool.gpu.store, held.id, by=ANN, clock=pool.clock)


def test_a_quarantined_lease_is_released_by_force(pool: Pool) -> None:
    held = pool.ask("a").lease
    assert held is not None
    KeeperStore(pool.gpu).quarantine(held.id, held.fence, "a stranger")
    assert force_release(pool.gpu.store, held.id, by=ANN, clock=pool.clock)["was"] == "quarantined"
    assert pool.gpu.leases() == []


def test_a_host_is_given_up_only_when_it_was_not_seen_for_long(pool: Pool) -> None:
    held = pool.ask("a").lease
    assert held is not None
    store = pool.gpu.store
    with pytest.raises(GpuAdminError, match="it is not gone") as caught:
        give_up_host(store, "testhost", by=ANN, clock=pool.clock)
    assert caught.value.facts["refused"]
    with store.write() as connection:
        long_ago = store.utcnow(connection) - timedelta(minutes=10)
        connection.execute(host.update().values(seen_at=long_ago))
    (taken,) = give_up_host(store, "testhost", by=ANN, clock=pool.clock)
    assert taken["lease"] == held.id
    assert pool.gpu.leases() == []
    assert snapshot(store)["devices"][0]["health"] == "absent"
    assert len(Ledger(store).search(kind=GateKind.DEVICE)) == 1
    with pytest.raises(GpuAdminError, match="knows no host"):
        give_up_host(store, "nowhere", by=ANN, clock=pool.clock)
