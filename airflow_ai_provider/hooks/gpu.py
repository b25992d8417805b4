"""The GPU-slot pool behind an Airflow connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf

from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.hooks.store import AiStoreHook

if TYPE_CHECKING:
    from airflow_ai_provider.core.gpu.lease import Ticket
    from airflow_ai_provider.core.gpu.request import GpuRequest
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.services.settings import GpuSettings

SECTION = "ai_provider"


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

    def ticket(self, context: Any, request: GpuRequest) -> Ticket:
        """Return the ticket of a task instance: the same for each leg of one try."""
        task = identity_of(context)
        return self.get_conn().ticket(request, holder=f"ti:{task.ti_id}", task=task)

    @staticmethod
    def settings() -> GpuSettings:
        """Return the settings of ``[ai_provider]``."""
        from airflow_ai_provider.services.settings import GpuSettings

        return GpuSettings.of(
            {name: conf.get(SECTION, name, fallback="") for name in GpuSettings.__annotations__}
        )


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
