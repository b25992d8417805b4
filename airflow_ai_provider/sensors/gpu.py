"""Wait for free GPU slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.sensors._deferrable import DeferrableSensor

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context, PokeReturnValue

    from airflow_ai_provider.core.gpu.request import GpuRequest
    from airflow_ai_provider.triggers.gpu import GpuSlotsTrigger

_ASKED = ("gpus", "gpu_memory", "mig_profile", "gpu_model", "gpu_pool")


class GpuSlotsSensor(DeferrableSensor):
    """Wait until devices of the GPU-slot pool are free on one host, without taking them.

    Returns ``{"host", "devices"}``: what was free when it looked, and may be taken by the time
    somebody asks for it. What no host could ever serve fails without retries. Nothing asked for
    means one whole device.

    :param gpus: how many whole devices, all of one host.
    :param gpu_memory: room on one device, such as ``"10GiB"``.
    :param mig_profile: a MIG instance, such as ``"1g.10gb"``.
    :param gpu_model: text that the device's model must contain.
    :param gpu_pool: the pool of devices.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (*_ASKED, "store_conn_id")

    def __init__(
        self,
        *,
        gpus: int | str | None = None,
        gpu_memory: str | None = None,
        mig_profile: str | None = None,
        gpu_model: str | None = None,
        gpu_pool: str = "default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        store_conn_id: str = GpuPoolHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gpus = gpus
        self.gpu_memory = gpu_memory
        self.mig_profile = mig_profile
        self.gpu_model = gpu_model
        self.gpu_pool = gpu_pool
        self.deferrable = deferrable
        self.store_conn_id = store_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        from airflow_ai_provider.core.gpu.planner import sentence

        try:
            request = self._request()
            found = GpuPoolHook(self.store_conn_id).free_slots(request)
        except GpuRequestError as error:
            raise AirflowFailException(str(error)) from error
        if found:
            self.log.info("%s of %s would serve %s", found.devices, found.host, request.describe())
        else:
            self.log.info("Nothing for %s: %s", request.describe(), sentence(found.reason))
        free = {"host": found.host, "devices": list(found.devices)}
        return PokeReturnValue(is_done=bool(found), xcom_value=free if found else None)

    def make_trigger(self, not_before: datetime) -> GpuSlotsTrigger:
        """Return the trigger that waits on in the triggerer."""
        from airflow_ai_provider.triggers.gpu import GpuSlotsTrigger

        return GpuSlotsTrigger(
            request={name: getattr(self, name) for name in _ASKED},
            not_before=not_before.timestamp(),
            poll_interval=float(self.poke_interval),
            store_conn_id=self.store_conn_id,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the trigger saw.

        :raises AirflowFailException: no host can serve it any longer.
        """
        if event["refused"]:
            raise AirflowFailException(event["refused"])
        return {"host": event["host"], "devices": event["devices"]}

    def _request(self) -> GpuRequest:
        from airflow_ai_provider.core.gpu.request import GpuRequest

        return GpuRequest.of(**{name: getattr(self, name) for name in _ASKED})
