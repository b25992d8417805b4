"""What the keeper reads and renews, on its bare drivers and through SQLAlchemy: the same."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreNotFoundError, StoreUnavailableError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.core.gpu.tenure import Alarm
from airflow_ai_provider.services.keeper_ports import Leases
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_hosts import register
from airflow_ai_provider.store.gpu_keeper import KeeperStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.light import LightLeases
from airflow_ai_provider.store.schema import host, lease
from airflow_ai_provider.testing import fake_devices
from tests.store.pool import HERE

ME = Process(pid=100, start=1, uid=7)


class Pool:
    """A store with leases in it, and the keeper's way to it."""

    def __init__(self, store: Store, *, light: bool) -> None:
        self.gpu = GpuStore(store, HERE, ttl=60)
        self.full = KeeperStore(self.gpu)
        self.keeper: Leases = self.full
        if light:
            self.keeper = LightLeases(store.full_url, host=HERE.name, boot_id=HERE.boot_id, ttl=60)

    def lease(self, holder: str = "a", **wants: Any) -> LeaseRecord:
        ticket = Ticket(holder=holder, request=GpuRequest.of(**wants), host=HERE.name)
        asked = self.gpu.ask(ticket, process=ME, devices=fake_devices(3))
        assert asked.lease is not None
        return asked.lease

    def expire(self, record: LeaseRecord) -> None:
        with self.gpu.store.write() as connection:
            connection.execute(lease.update().where(lease.c.id == record.id).values(expires_at=1.0))

    def left(self, record: LeaseRecord) -> float:
        """Seconds that the lease has left."""
        with self.gpu.store.read() as connection:
            expires = connection.execute(
                sa.select(lease.c.expires_at).where(lease.c.id == record.id)
            ).scalar_one()
            return float(expires) - self.gpu.clock(connection)


@pytest.fixture(params=["light", "full"])
def pool(request: pytest.FixtureRequest, store: Store) -> Pool:
    light = request.param == "light"
    if light and store.is_sqlite and store.path is None:
        light = False  # a store in memory has no other driver: the same rules hold
    return Pool(store, light=light)


def test_a_visit_shows_what_is_live_here(pool: Pool) -> None:
    record = pool.lease(gpus=2, idle_limit=90)
    (tenure,) = pool.keeper.visit({}).live
    assert (tenure.id, tenure.fence, tenure.state) == (record.id, record.fence, LeaseState.ACTIVE)
    assert (tenure.devices, tenure.process, tenure.uid) == (("fake:0", "fake:1"), ME, 7)
    assert (tenure.idle_limit, tenure.revoked, tenure.reason) == (90, False, "")


def test_all_leases_are_renewed_in_one_go(pool: Pool) -> None:
    records = [pool.lease(name) for name in "abc"]
    for record in records:
        pool.expire(record)
    fences = {record.id: record.fence for record in records}
    assert pool.keeper.visit(fences).renewed == set(fences)
    assert all(55 < pool.left(record) <= 60 for record in records)


def test_a_wrong_fence_and_a_revoked_lease_are_not_renewed(pool: Pool) -> None:
    one, two = pool.lease("a"), pool.lease("b")
    pool.gpu.doubt(two.id, two.fence, reason="a newer try took its place")
    visit = pool.keeper.visit({one.id: one.fence + 1, two.id: two.fence})
    assert visit.renewed == set()
    assert visit.taken == {one.id: "the store does not know it"}
    revoked = {tenure.id: tenure.revoked for tenure in visit.live}
    assert revoked == {one.id: False, two.id: True}


def test_who_renews_makes_a_suspect_lease_active_and_others_suspect(pool: Pool) -> None:
    mine, other = pool.lease("a"), pool.lease("b")
    pool.expire(mine)
    pool.expire(other)
    pool.keeper.visit({})
    states = {tenure.id: tenure.state for tenure in pool.keeper.visit({}).live}
    assert states == {mine.id: LeaseState.SUSPECT, other.id: LeaseState.SUSPECT}
    visit = pool.keeper.visit({mine.id: mine.fence})
    states = {tenure.id: tenure.state for tenure in visit.live}
    assert states == {mine.id: LeaseState.ACTIVE, other.id: LeaseState.SUSPECT}


def test_only_what_somebody_took_is_told_as_taken(pool: Pool) -> None:
    released, taken, revoked = pool.lease("a"), pool.lease("b"), pool.lease("c")
    fences = {record.id: record.fence for record in (released, taken, revoked)}
    pool.gpu.release(released.id, released.fence)
    pool.gpu.doubt(taken.id, taken.fence, reason="an operator took it")
    pool.gpu.release(taken.id, taken.fence, reason="an operator took it")
    pool.gpu.doubt(revoked.id, revoked.fence, reason="a newer try took its place")
    pool.gpu.release(revoked.id, revoked.fence)  # by its holder, which is done
    visit = pool.keeper.visit({**fences, "nobody": 1})
    assert visit.live == ()
    assert visit.taken == {
        taken.id: "an operator took it", "nobody": "the store does not know it"
    }  # fmt: skip


def test_a_sentence_stays_until_another(pool: Pool) -> None:
    record = pool.lease()
    pool.keeper.say(record.id, record.fence, "idle; it ends soon")
    assert pool.keeper.visit({record.id: record.fence}).live[0].reason == "idle; it ends soon"
    pool.keeper.say(record.id, record.fence, "")
    assert pool.keeper.visit({}).live[0].reason == ""


def test_leases_of_the_last_boot_are_told_of_and_ended_by_a_restart(pool: Pool) -> None:
    pool.lease()
    after = Host(name=HERE.name, boot_id="boot-2")
    gpu = GpuStore(pool.gpu.store, after, ttl=60)
    keeper: Leases = KeeperStore(gpu)
    if isinstance(pool.keeper, LightLeases):
        keeper = LightLeases(gpu.store.full_url, host=after.name, boot_id=after.boot_id, ttl=60)
    visit = keeper.visit({})
    assert (visit.live, visit.restarted) == ((), True)
    KeeperStore(gpu).restart()
    assert gpu.leases() == []
    assert not keeper.visit({}).restarted


def test_a_visit_is_seen(pool: Pool) -> None:
    pool.lease()
    with pool.gpu.store.write() as connection:
        connection.execute(host.update().values(seen_at=pool.gpu.store.utcnow(connection)))
        before = connection.execute(sa.select(host.c.seen_at)).scalar_one()
    time.sleep(0.01)
    assert pool.keeper.visit({}).registered == {
        "fake:0": "healthy", "fake:1": "healthy", "fake:2": "healthy"
    }  # fmt: skip
    with pool.gpu.store.read() as connection:
        assert connection.execute(sa.select(host.c.seen_at)).scalar_one() > before


def test_only_what_is_released_and_came_before_on_the_same_device_is_outlived(pool: Pool) -> None:
    ended, other = pool.lease("a"), pool.lease("b", gpus=2)
    pool.gpu.release(ended.id, ended.fence)
    mine = pool.lease("c")
    marks = [(r.id, r.fence) for r in (ended, other, mine)]
    found = pool.keeper.outlived(mine.id, mine.fence, [*marks, ("0" * 32, 1)])
    assert found == {(ended.id, ended.fence, "fake:0")}
    pool.gpu.release(other.id, other.fence)  # of other devices
    assert pool.keeper.outlived(mine.id, mine.fence, marks) == found
    assert pool.keeper.outlived(mine.id, mine.fence, [(ended.id, ended.fence + 1)]) == set()
    assert pool.keeper.outlived(mine.id, mine.fence + 1, marks) == set()
    pool.gpu.release(mine.id, mine.fence)
    assert pool.keeper.outlived(ended.id, ended.fence, marks) == set()  # mine came later


def test_a_share_that_was_released_beside_a_live_one_came_after_it(pool: Pool) -> None:
    with pool.gpu.store.write() as connection:
        shared = fake_devices(1, host=HERE.name, memory_mib=1000)
        register(connection, HERE, shared, wall=pool.gpu.store.utcnow(connection))

    def share(holder: str) -> LeaseRecord:
        ticket = Ticket(holder=holder, request=GpuRequest.of(gpu_memory="300MiB"), host=HERE.name)
        asked = pool.gpu.ask(ticket, process=ME, devices=None)
        assert asked.lease is not None
        return asked.lease

    one, two = share("a"), share("b")
    pool.gpu.release(two.id, two.fence)
    assert pool.keeper.outlived(one.id, one.fence, [(two.id, two.fence)]) == set()
    three = share("c")
    found = pool.keeper.outlived(three.id, three.fence, [(one.id, one.fence), (two.id, two.fence)])
    assert found == {(two.id, two.fence, "fake:0")}


def test_any_live_lease_can_be_set_aside_and_told_why(pool: Pool) -> None:
    record = pool.lease()
    pool.full.quarantine(record.id, record.fence, "a stranger")
    pool.full.quarantine(record.id, record.fence, "another stranger")
    (tenure,) = pool.keeper.visit({}).live
    assert (tenure.state, tenure.reason) == (LeaseState.QUARANTINED, "another stranger")


def test_an_alarm_is_recorded_once(pool: Pool) -> None:
    record = pool.lease()
    alarm = Alarm(
        name="stranger", device="fake:0", lease_id=record.id, fence=record.fence, verdict="fail",
        limit="nobody", observed="99", sentence="unknown process on fake:0: 99 (python)",
    )  # fmt: skip
    pool.full.alarm(alarm)
    pool.full.alarm(alarm)
    (written,) = Ledger(pool.gpu.store).search(kind=GateKind.DEVICE)
    assert (written.subject, written.verdict) == ("device://testhost/fake:0", "fail")
    assert written.evidence == {"lease": record.id, "fence": record.fence}


def test_a_store_that_is_not_there_is_a_typed_error(tmp_path: Any) -> None:
    gone = LightLeases(f"sqlite:///{tmp_path / 'no.db'}", host="h", boot_id="b", ttl=60)
    with pytest.raises(StoreNotFoundError):
        gone.visit({})
    away = LightLeases("postgresql://u@127.0.0.1:9/none", host="h", boot_id="b", ttl=60)
    with pytest.raises(StoreUnavailableError, match="Connection refused Is the server") as caught:
        away.visit({})
    assert "\n" not in str(caught.value)
