"""On which host a ticket may be served: this one, unless only another one can."""

from __future__ import annotations

from airflow_ai_provider.core.gpu.devices import PartialView
from airflow_ai_provider.core.gpu.planner import why_impossible
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.store.gpu_rows import read_devices, read_quotas


def host_for(pool: GpuPool, request: GpuRequest) -> str | None:
    """Return the host that the ticket of ``request`` is bound to; None leaves it open.

    A task asks for devices of the host that it runs on. Where that host can never serve it and
    another can, its ticket keeps its place, bound to no host, until the task comes back on one that
    can: Airflow does not let a task choose its worker. So it is, too, where a share is too much of
    a card of this host for a quota's ceiling, and would not be of another's.
    """
    here, own = pool.here.name, pool.inventory.devices()
    is_share = request.memory_mib is not None  # a whole device is one on every host
    if own is not None and not is_share and why_impossible(request, own, host=here) is None:
        return here
    with pool.gpu.store.read() as connection:
        known = {device.key: device for device in read_devices(connection)}
        quotas = read_quotas(connection)
    if own is not None and not isinstance(own, PartialView):  # who is not in it is gone
        known = {key: device for key, device in known.items() if device.host != here}
    devices = [*(known | {device.key: device for device in own or ()}).values()]
    if why_impossible(request, devices, host=here, quotas=quotas) is None:
        return here
    # over every ceiling it stays open, too: then the planner's refusal names the quota
    return None if why_impossible(request, devices) is None else here
