"""Whether slots are free, without taking them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.core.gpu.planner import Queued
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_queue import decide, turn_of


@dataclass(frozen=True, kw_only=True)
class FreeSlots:
    """Devices of one host that would serve a request now; when none would, ``reason`` names why."""

    devices: tuple[str, ...] = ()
    host: str | None = None
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.devices)


def free_slots(store: Store, request: GpuRequest) -> FreeSlots:
    """Look which devices would serve ``request`` now, on whatever host, as if nobody waited.

    :raises GpuRequestError: no host could ever serve it.
    """
    with store.read() as connection:
        turn = turn_of(store, connection)
        decided = decide(turn, turn.look(), [Queued(id="", request=request, place=0)])
    if refused := decided.refused.get(""):
        raise GpuRequestError(refused, remedy="Run `airflow-ai gpu status` to see what there is.")
    for grant in decided.grants:
        names = tuple(name for _, name in grant.devices)
        return FreeSlots(devices=names, host=grant.devices[0][0])
    return FreeSlots(reason=decided.waiting[""].value)
