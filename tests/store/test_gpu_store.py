from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.lease import Process, TaskIdentity
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.schema import device, gpu_request, lease, lease_device
from airflow_ai_provider.testing import fake_devices
from tests.store.pool import HERE, ME, Pool

OTHER = Process(pid=200, start=2, uid=0)


@pytest.fixture
def pool(store: Store) -> Pool:
    return Pool(store)


def try_of(number: int) -> TaskIdentity:
    return TaskIdentity(
        ti_id=f"ti-{number}", dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=number
    )


def test_a_free_device_is_held_at_once(pool: Pool) -> None:
    asked = pool.ask("a")
    assert asked.lease is not None
    assert asked.lease.state is LeaseState.ACTIVE
    assert asked.lease.devices == ("fake:0",)
    assert asked.lease.process == ME


def test_the_same_ticket_is_the_same_lease(pool: Pool) -> None:
    first, again = pool.ask("a"), pool.ask("a")
    assert first.lease is not None
    assert again.lease is not None
    assert (first.lease.id, first.lease.fence) == (again.lease.id, again.lease.fence)


def test_a_wide_request_gets_all_its_devices_or_none(pool: Pool) -> None:
    one = pool.ask("a")
    assert pool.ask("b", gpus=2).lease is None
    assert pool.state("b") is RequestState.PENDING
    assert one.lease is not None
    pool.gpu.release(one.lease.id, one.lease.fence)
    both = pool.ask("b", gpus=2)
    assert both.lease is not None
    assert both.lease.devices == ("fake:0", "fake:1")


def test_release_hands_on_to_who_waits_longest(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.ask("b")
    pool.ask("c")
    pool.ask("urgent", priority=9)
    pool.gpu.release(held.id, held.fence)
    views = {name: pool.gpu.view(pool.ticket(name).id) for name in ("b", "c", "urgent")}
    assert {name: view.state for name, view in views.items() if view} == {
        "urgent": RequestState.LEASED,
        "b": RequestState.LEASED,
        "c": RequestState.PENDING,
    }
    assert views["b"] is not None
    assert views["b"].may_be_claimed
    claimed = pool.ask("b", process=OTHER)
    assert claimed.lease is not None
    assert claimed.lease.process == OTHER


def test_a_grant_that_nobody_claims_lapses_and_keeps_its_place(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.ask("late", gpus=2)
    pool.gpu.release(held.id, held.fence)
    assert pool.state("late") is RequestState.LEASED
    pool.clock.advance(91)
    pool.ask("next", gpus=2)
    assert pool.state("late") is RequestState.LAPSED
    assert pool.state("next") is RequestState.LEASED
    pool.ask("young", gpus=2)
    assert pool.ask("late", gpus=2).lease is None
    (current,) = pool.gpu.leases()
    pool.gpu.release(current.id, current.fence)
    assert pool.state("late") is RequestState.LEASED
    assert pool.state("young") is RequestState.PENDING


def test_expiry_means_suspect_and_never_free(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.clock.advance(61)
    asked = pool.ask("b")
    assert asked.lease is None
    assert asked.reason == "devices_suspect"
    assert pool.gpu.leases()[0].state is LeaseState.SUSPECT
    assert pool.gpu.renew({held.id: held.fence}) == {held.id}
    assert pool.gpu.leases()[0].state is LeaseState.ACTIVE


def test_renewal_needs_the_fence(pool: Pool) -> None:
    held = pool.ask("a").lease
    assert held is not None
    assert pool.gpu.renew({held.id: held.fence + 1}) == set()
    with pytest.raises(LeaseLostError):
        pool.gpu.release(held.id, held.fence + 1)
    pool.gpu.release(held.id, held.fence)
    with pytest.raises(LeaseLostError) as caught:
        pool.gpu.release(held.id, held.fence)
    assert caught.value.facts["lease_id"] == held.id


def test_fences_rise_on_every_device(pool: Pool) -> None:
    fences = []
    for gpus in (1, 2, 1, 2):
        held = pool.ask("a", gpus=gpus).lease
        assert held is not None
        fences.append(held.fence)
        pool.gpu.release(held.id, held.fence)
    assert fences == sorted(set(fences))


def test_a_newer_try_revokes_the_older_one(pool: Pool) -> None:
    old = pool.ask("one", gpus=2, task=try_of(1)).lease
    assert old is not None
    asked = pool.ask("two", gpus=2, task=try_of(2), process=OTHER)
    assert asked.lease is None
    (record,) = pool.gpu.leases()
    assert (record.state, record.revoked) == (LeaseState.SUSPECT, True)
    assert pool.gpu.renew({old.id: old.fence}) == set()
    pool.gpu.release(old.id, old.fence)
    assert pool.state("two") is RequestState.LEASED
    with pytest.raises(LeaseLostError, match="Try 2"):
        pool.ask("one", gpus=2, task=try_of(1))


def test_a_newer_try_frees_what_the_older_one_never_claimed(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.ask("one", gpus=2, task=try_of(1))
    pool.gpu.release(held.id, held.fence)
    assert pool.state("one") is RequestState.LEASED
    assert pool.ask("two", gpus=2, task=try_of(2)).lease is not None
    assert pool.state("one") is RequestState.WITHDRAWN


def test_a_suspect_lease_is_quarantined_and_released(pool: Pool) -> None:
    held = pool.ask("a").lease
    assert held is not None
    with pytest.raises(LeaseLostError):
        pool.gpu.quarantine(held.id, held.fence, reason="not yet suspect")
    pool.gpu.doubt(held.id, held.fence, reason="its holder died")
    pool.gpu.quarantine(held.id, held.fence, reason="cannot be ended")
    status = snapshot(pool.gpu.store)
    (holder,) = status["devices"][0]["holders"]
    assert (holder["state"], holder["reason"]) == ("quarantined", "cannot be ended")
    pool.gpu.release(held.id, held.fence)
    assert pool.gpu.leases() == []


def test_a_restarted_host_has_no_holders(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.gpu.here = replace(HERE, boot_id="boot-2")
    pool.clock.now = 1.0
    again = pool.ask("b", gpus=2).lease
    assert again is not None
    assert again.fence > held.fence


def test_a_withdrawn_ticket_gives_its_grant_back(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    pool.ask("b", gpus=2)
    pool.ask("c", gpus=2)
    pool.gpu.release(held.id, held.fence)
    pool.gpu.withdraw(pool.ticket("b").id, reason="gave up")
    assert pool.state("b") is RequestState.WITHDRAWN
    assert pool.state("c") is RequestState.LEASED


def test_a_withdrawn_ticket_keeps_a_lease_that_is_held(pool: Pool) -> None:
    assert pool.ask("a").lease is not None
    pool.gpu.withdraw(pool.ticket("a").id, reason="gave up")
    assert pool.state("a") is RequestState.LEASED


def test_the_impossible_is_refused_and_may_be_asked_again_later(pool: Pool) -> None:
    asked = pool.ask("a", gpus=3)
    assert asked.state is RequestState.REFUSED
    assert "no host has more than 2" in asked.reason
    pool.devices = fake_devices(3)
    assert pool.ask("a", gpus=3).lease is not None


def test_devices_that_are_no_longer_declared_are_absent(pool: Pool) -> None:
    pool.ask("a", gpus=2)
    pool.devices = fake_devices(1)
    asked = pool.ask("b")
    assert asked.reason == "devices_busy"
    status = {d["uuid"]: d for d in snapshot(pool.gpu.store)["devices"]}
    assert status["fake:1"]["health"] == "absent"
    assert status["fake:1"]["holders"]


def test_who_was_told_of_no_devices_leaves_them_as_they_are(pool: Pool) -> None:
    pool.ask("a")
    pool.devices = None
    assert pool.ask("b").lease is not None


def test_shares_fill_one_device_up_to_its_memory(store: Store) -> None:
    pool = Pool(store, fake_devices(1, memory_mib=1000))
    assert pool.ask("a", gpu_memory="600MiB").lease is not None
    assert pool.ask("b", gpu_memory="400MiB").lease is not None
    assert pool.ask("c", gpu_memory="1MiB").lease is None
    assert snapshot(store)["devices"][0]["used_mib"] == 1000


def test_the_database_itself_refuses_a_device_held_twice(pool: Pool) -> None:
    pool.ask("a")
    with pool.gpu.store.write() as connection:
        held = connection.execute(sa.select(lease_device)).mappings().one()
        copy = connection.execute(sa.select(lease)).mappings().one()
        connection.execute(lease.insert().values(**{**copy, "id": "other"}))
        second = lease_device.insert().values(**{**held, "lease_id": "other"})
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(second)


def test_history_stays(pool: Pool) -> None:
    held = pool.ask("one", task=try_of(1)).lease
    assert held is not None
    pool.gpu.release(held.id, held.fence)
    with pool.gpu.store.read() as connection:
        row = connection.execute(sa.select(lease)).one()
        assert connection.execute(sa.select(sa.func.max(device.c.epoch))).scalar_one() == held.fence
        assert connection.execute(sa.select(gpu_request.c.state)).scalar_one() == "done"
    assert (row.state, row.ti_id, row.dag_id, row.try_number) == ("released", "ti-1", "d", 1)
    assert row.granted_at <= row.activated_at <= row.released_at


def test_status_has_the_promised_shape(pool: Pool) -> None:
    pool.ask("one", gpus=2, task=try_of(1))
    pool.ask("b", priority=3)
    status = snapshot(pool.gpu.store)
    assert set(status) == {"devices", "queue", "hosts"}
    assert set(status["devices"][0]) == {
        "uuid", "host", "kind", "model", "memory_mib", "used_mib", "health", "reason", "holders"
    }  # fmt: skip
    (holder,) = status["devices"][0]["holders"]
    assert set(holder) == {"id", "fence", "task", "state", "devices", "since", "expires_at"}
    assert holder["devices"] == ["fake:0", "fake:1"]
    assert holder["task"] == "d/r/t#1"
    (waiting,) = status["queue"]
    assert set(waiting) == {
        "id", "task", "spec", "priority", "waiting_s", "reason", "expected_start"
    }  # fmt: skip
    assert (waiting["priority"], waiting["reason"]) == (3, "devices_busy")
