"""All that a keeper does to the store, through SQLAlchemy: what changes the queue plans it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.tenure import Alarm, Visit
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_hosts import note_faults, register
from airflow_ai_provider.store.gpu_keeping import (
    PASSED_TIMES,
    SERVER_TIMES,
    Execute,
    outlived,
    say,
    visit,
)
from airflow_ai_provider.store.ledger import Ledger

DECIDED_BY = "keeper"


class KeeperStore:
    """The leases of one host, for its keeper."""

    def __init__(self, gpu: GpuStore) -> None:
        self.gpu = gpu

    def visit(self, fences: Mapping[str, int]) -> Visit:
        """Renew ``fences`` and read what is live here, as ``store.light`` does."""
        store = self.gpu.store
        with store.write() as connection:
            times = PASSED_TIMES if store.is_sqlite else SERVER_TIMES
            wall = store.utcnow(connection).isoformat(timespec="microseconds")
            return visit(
                _executing(connection),
                host=self.gpu.here.name,
                boot_id=self.gpu.here.boot_id,
                ttl=self.gpu.ttl,
                fences=fences,
                times=times,
                passed={"clock": self.gpu.clock(connection), "wall": wall}
                if store.is_sqlite
                else {},
            )

    def say(self, lease_id: str, fence: int, reason: str) -> None:
        """Set what `gpu status` says of an active lease."""
        with self.gpu.store.write() as connection:
            say(_executing(connection), lease_id, fence, reason)

    def outlived(
        self, lease_id: str, fence: int, marks: Iterable[tuple[str, int]]
    ) -> frozenset[tuple[str, int, str]]:
        """Return which of ``marks`` are of leases that this one came after, as ``store.light``."""
        here = self.gpu.here
        with self.gpu.store.write() as connection:
            return outlived(
                _executing(connection), lease_id, fence, marks,
                host=here.name, boot_id=here.boot_id,
            )  # fmt: skip

    def doubt(self, lease_id: str, fence: int, reason: str) -> None:
        """Make a lease suspect for good.

        :raises LeaseLostError: it is neither active nor suspect, or its fence is another.
        """
        self.gpu.doubt(lease_id, fence, reason=reason)

    def quarantine(self, lease_id: str, fence: int, reason: str) -> None:
        """Set a lease aside, whatever it was before; one that is aside already gets the reason.

        :raises LeaseLostError: it is not live, or its fence is another.
        """
        try:
            self.gpu.doubt(lease_id, fence, reason=reason)
        except LeaseLostError:
            if lease_id not in {record.id for record in self.gpu.leases(mine=True)}:
                raise
            self.say(lease_id, fence, reason)
            return
        self.gpu.quarantine(lease_id, fence, reason=reason)

    def release(self, lease_id: str, fence: int, reason: str) -> None:
        """End a lease whose devices are known to be free, and plan the queue.

        :raises LeaseLostError: it is not live, or its fence is another.
        """
        self.gpu.release(lease_id, fence, reason=reason)

    def restart(self) -> None:
        """End what leases this host had before its last boot, and plan the queue."""
        with self.gpu.store.write() as connection:
            wall = self.gpu.store.utcnow(connection)
            register(connection, self.gpu.here, None, wall=wall)
        self.gpu.tick()

    def register(self, devices: Sequence[Device]) -> None:
        """Note the devices of this host as they are now, and plan the queue."""
        with self.gpu.store.write() as connection:
            wall = self.gpu.store.utcnow(connection)
            register(connection, self.gpu.here, devices, wall=wall)
        self.gpu.tick()

    def note_faults(self, faults: Sequence[Fault]) -> None:
        """Keep devices that reported faults from being granted."""
        note_faults(self.gpu.store, self.gpu.here, faults)

    def alarm(self, alarm: Alarm) -> None:
        """Write an alarm into the ledger, once."""
        draft = GateDraft(
            kind=GateKind.DEVICE,
            subject=f"device://{self.gpu.here.name}/{alarm.device}",
            verdict=Verdict(alarm.verdict),
            criteria=(
                Criterion(
                    name=alarm.name,
                    limit=alarm.limit,
                    observed=alarm.observed,
                    verdict=Verdict(alarm.verdict),
                    sentence=alarm.sentence,
                ),
            ),
            evidence={"lease": alarm.lease_id, "fence": alarm.fence},
            decided_by=DECIDED_BY,
        )
        key = f"{alarm.name}:{alarm.lease_id}:{alarm.fence}:{alarm.device}:{alarm.observed}"
        Ledger(self.gpu.store).append(draft, key=key[:250])


def _executing(connection: sa.Connection) -> Execute:
    def execute(sql: str, values: Mapping[str, Any]) -> list[Any]:
        return [tuple(row) for row in connection.execute(sa.text(sql), values).all()]

    return execute
