"""Devices taken out and back, leases taken away: on every store, each with its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_ai_provider.core.errors import GpuAdminError, LeaseLostError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
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
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import gpu_change, host
from airflow_ai_provider.testing import fake_devices
from tests.store.pool import HERE, Pool

ANN = Person(name="ann (uid 7)", reason="its fan is broken")


class Administered(Pool):
    """Slots of which people say what is to be."""

    def __init__(self, store: Store, name: str = HERE.name, devices: int = 1) -> None:
        here = replace(HERE, name=name)
        super().__init__(store, fake_devices(devices, host=name), here=here)
        self.turns = Turns(store, clock=self.clock)

    def stand(self, state: str, *, uuid: str = "fake:0", on_host: str | None = None) -> Any:
        return set_standing(self.turns, uuid, on_host=on_host, state=state, by=ANN)


@pytest.fixture
def pool(store: Store) -> Administered:
    return Administered(store)


@pytest.mark.parametrize("state", [DRAINED, QUARANTINED])
def test_a_device_out_of_service_is_granted_no_more_and_held_on(
    pool: Administered, state: str
) -> None:
    held = pool.ask("a").lease
    assert held is not None
    done = pool.stand(state)
    assert (done["was"], done["is"], done["host"]) == ("in service", state, "testhost")
    assert pool.gpu.leases()[0].state is LeaseState.ACTIVE
    pool.gpu.release(held.id, held.fence)
    assert pool.ask("b").lease is None
    (shown,) = snapshot(pool.gpu.store)["devices"]
    assert (shown["health"], shown["reason"]) == (state, "its fan is broken")


def test_a_device_back_in_service_goes_to_who_waits(pool: Administered) -> None:
    pool.ask("a")
    pool.stand(DRAINED)
    held = pool.gpu.leases()[0]
    pool.gpu.release(held.id, held.fence)
    assert pool.ask("b").lease is None
    done = pool.stand(IN_SERVICE)
    assert (done["was"], done["is"]) == (DRAINED, "in service")
    assert pool.ask("b").lease is not None


def test_each_decision_is_recorded_with_who_and_why(pool: Administered) -> None:
    pool.ask("a")
    done = pool.stand(DRAINED)
    (record,) = Ledger(pool.gpu.store).search(kind=GateKind.DEVICE)
    assert record.id == done["record"]
    assert (record.subject, record.verdict) == ("device://testhost/fake:0", "override")
    assert record.decided_by == "ann (uid 7)"
    assert record.criteria[0]["sentence"] == "its fan is broken"


def test_a_device_that_several_hosts_have_must_be_told_apart(
    pool: Administered, store: Store
) -> None:
    pool.ask("a")
    Administered(store, "other").ask("b")
    with pytest.raises(GpuAdminError, match="other, testhost"):
        pool.stand(DRAINED)
    assert pool.stand(DRAINED, on_host="other")["host"] == "other"
    with pytest.raises(GpuAdminError, match="No device 'nope'"):
        pool.stand(DRAINED, uuid="nope")


def test_a_lease_taken_by_force_is_handed_on_and_its_keeper_hears_of_it(pool: Administered) -> None:
    held = pool.ask("a").lease
    assert held is not None
    assert pool.ask("b").lease is None
    done = force_release(pool.turns, held.id, by=ANN)
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
        force_release(pool.turns, held.id, by=ANN)


def test_a_quarantined_lease_is_released_by_force(pool: Administered) -> None:
    held = pool.ask("a").lease
    assert held is not None
    KeeperStore(pool.gpu).quarantine(held.id, held.fence, "a stranger")
    assert force_release(pool.turns, held.id, by=ANN)["was"] == "quarantined"
    assert pool.gpu.leases() == []


def test_a_host_is_given_up_only_when_it_was_not_seen_for_long(pool: Administered) -> None:
    held = pool.ask("a").lease
    assert held is not None
    store = pool.gpu.store
    with pytest.raises(GpuAdminError, match="it is not gone") as caught:
        give_up_host(pool.turns, "testhost", by=ANN)
    assert caught.value.facts["refused"]
    with store.write() as connection:
        long_ago = store.utcnow(connection) - timedelta(minutes=10)
        connection.execute(host.update().values(seen_at=long_ago))
    (taken,) = give_up_host(pool.turns, "testhost", by=ANN)
    assert taken["lease"] == held.id
    assert pool.gpu.leases() == []
    assert snapshot(store)["devices"][0]["health"] == "absent"
    assert len(Ledger(store).search(kind=GateKind.DEVICE)) == 1
    with pytest.raises(GpuAdminError, match="knows no host"):
        give_up_host(pool.turns, "nowhere", by=ANN)


def test_who_is_sure_waits_only_until_nobody_there_can_have_renewed(pool: Administered) -> None:
    held = pool.ask("a").lease
    assert held is not None
    store = pool.gpu.store

    def seen(seconds: float) -> None:
        with store.write() as connection:
            ago = store.utcnow(connection) - timedelta(seconds=seconds)
            connection.execute(host.update().values(seen_at=ago))

    def give_up() -> list[dict[str, Any]]:
        return give_up_host(pool.turns, "testhost", by=ANN, sure=True, ttl=60)

    pool.clock.advance(61)
    with pytest.raises(GpuAdminError, match="not known to be silent") as caught:
        give_up()  # heard of just now
    assert caught.value.facts["refused"]
    pool.gpu.renew({held.id: held.fence})
    seen(90)
    with pytest.raises(GpuAdminError, match="not known to be silent"):
        give_up()  # a lease of a longer time to live is still good
    assert pool.gpu.leases() != []
    assert Ledger(store).search(kind=GateKind.DEVICE) == []
    pool.clock.advance(61)
    (taken,) = give_up()
    assert taken["lease"] == held.id
    assert pool.gpu.leases() == []
    records = Ledger(store).search(kind=GateKind.DEVICE)
    assert len(records) == 2
    assert all(record.evidence["sure"] is True for record in records)
    assert {record.evidence["silent_s"] // 10 for record in records} == {9}
    assert {record.decided_by for record in records} == {ANN.name}


def test_what_people_decide_is_planned_as_the_pool_plans(pool: Administered, store: Store) -> None:
    """The devices that come back are kept for who waits longest, as ``reserve_after`` says."""
    two = Administered(store, "other", devices=2)
    two.ask("a")
    two.stand(DRAINED, uuid="fake:1")
    two.ask("wide", gpus=2)
    two.ask("small")
    two.turns = Turns(store, clock=two.clock, reserve_after=0.0)
    two.stand(IN_SERVICE, uuid="fake:1")
    assert {record.request_id for record in two.gpu.leases()} == {ticket_id("a")}
    reasons = {row["id"]: row["reason"] for row in snapshot(store)["queue"]}
    assert reasons[ticket_id("small")] == "reserved_for_another"
    two.turns = Turns(store, clock=two.clock)
    two.stand(DRAINED, uuid="fake:1")
    two.stand(IN_SERVICE, uuid="fake:1")
    assert {r.request_id for r in two.gpu.leases()} == {ticket_id("a"), ticket_id("small")}


def test_what_another_left_to_be_planned_is_planned_with_it(pool: Administered) -> None:
    pool.ask("a")
    with pool.gpu.store.write() as connection:
        connection.execute(gpu_change.insert())
    pool.stand(DRAINED)
    with pool.gpu.store.read() as connection:
        assert connection.execute(gpu_change.select()).all() == []


def ticket_id(holder: str) -> str:
    return Ticket(holder=holder, request=GpuRequest.of()).id
