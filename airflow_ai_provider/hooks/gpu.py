"""The GPU-slot pool behind an Airflow connection."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf

from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.hooks.store import AiStoreHook

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.airflow_api import AirflowLogin
    from airflow_ai_provider.core.gpu.lease import Ticket
    from airflow_ai_provider.core.gpu.mirror import MirrorChange
    from airflow_ai_provider.core.gpu.request import GpuRequest
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.services.gpu_slots import FreeSlots
    from airflow_ai_provider.services.settings import GpuSettings

SECTION = "ai_provider"
API_CONNECTION = "airflow_api_default"


class GpuPoolHook(BaseHook):
    """Ask for GPU slots as an Airflow task; settings come from Airflow's ``[ai_provider]``.

    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = AiStoreHook.default_conn_name
    conn_type = AiStoreHook.conn_type
    hook_name = "GPU pool"

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self._pool: GpuPool | None = None

    def get_conn(self) -> GpuPool:
        """Return the pool in the store that the connection names."""
        from airflow_ai_provider.services.gpu import GpuPool

        if self._pool is None:
            store = AiStoreHook(self.store_conn_id).get_conn()
            self._pool = GpuPool(store, self.settings())
        return self._pool

    def ticket(self, context: Any, request: GpuRequest, *, may_move: bool = False) -> Ticket:
        """Return the ticket of a task instance: the same for each leg of one try.

        ``may_move`` says that the task may come back on another host: then devices that only
        another host has are waited for.
        """
        from airflow_ai_provider.services.gpu_placing import host_for

        task, pool = identity_of(context), self.get_conn()
        ticket = pool.ticket(request, holder=_holder(task.ti_id), task=task)
        return replace(ticket, host=host_for(pool, request)) if may_move else ticket

    def free_slots(self, request: GpuRequest) -> FreeSlots:
        """Look which devices would serve ``request`` now, taking none.

        :raises GpuRequestError: no host could ever serve it.
        """
        from airflow_ai_provider.services.gpu_slots import free_slots

        return free_slots(AiStoreHook(self.store_conn_id).get_conn(), request)

    def sync_pools(self, api_conn_id: str = API_CONNECTION) -> list[MirrorChange]:
        """Set Airflow's pools ``gpu_<pool>`` to the number of healthy devices; say what changed.

        :raises AirflowNotFoundException: there is no connection of this id.
        :raises AirflowApiError: Airflow's REST API does not answer, or does not let us.
        """
        from airflow_ai_provider.adapters.airflow_api import AirflowPools
        from airflow_ai_provider.services.gpu_pools import sync_pools

        login = api_login(api_conn_id)
        return sync_pools(AiStoreHook(self.store_conn_id).get_conn(), AirflowPools(login))

    def report(self) -> None:
        """Tell Airflow's stats how the devices stand, if anybody listens."""
        from airflow_ai_provider.hooks import _metrics
        from airflow_ai_provider.store.gpu_figures import read_figures

        if not _metrics.are_on():
            return
        try:
            _metrics.standing(read_figures(self.get_conn().gpu.store))
        except StoreError as error:  # whoever works under a lease goes on
            self.log.warning("No figures of the GPU pool: %s", error)

    @staticmethod
    def settings() -> GpuSettings:
        """Return the settings of ``[ai_provider]``."""
        from airflow_ai_provider.services.settings import GpuSettings

        return GpuSettings.of(
            {name: conf.get(SECTION, name, fallback="") for name in GpuSettings.__annotations__}
        )


def api_login(conn_id: str) -> AirflowLogin:
    """Return how the connection ``conn_id``, of type ``http``, logs in to Airflow's REST API."""
    from airflow_ai_provider.services.gpu_pools import login_of_fields

    found = BaseHook.get_connection(conn_id)
    return login_of_fields(
        host=found.host, port=found.port, schema=found.schema,
        user=found.login, password=found.password, extra=found.extra_dejson,
    )  # fmt: skip


def ticket_id_of(ti_id: str) -> str:
    """Return the id, in the store, of the ticket of a task instance."""
    from airflow_ai_provider.core.gpu.lease import Ticket
    from airflow_ai_provider.core.gpu.request import GpuRequest

    return Ticket(holder=_holder(ti_id), request=GpuRequest()).id


def _holder(ti_id: str | None) -> str:
    return f"ti:{ti_id}"


def identity_of(context: Any) -> TaskIdentity:
    """Return the task instance of an Airflow ``context`` as the pool keeps it."""
    ti = context["ti"]
    return TaskIdentity(
        ti_id=str(ti.id),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )
