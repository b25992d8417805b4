"""Python under a GPU lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.hooks.gpu import GpuPoolHook

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.gpu.lease import Ticket
    from airflow_ai_provider.core.gpu.request import GpuRequest

GPU_FIELDS = (
    "gpus",
    "gpu_memory",
    "mig_profile",
    "gpu_model",
    "gpu_pool",
    "priority",
    "team",
    "project",
    "phase",
    "estimate",
    "max_wait",
)


class GpuPythonOperator(PythonOperator):
    """Call a Python function while holding devices of the GPU-slot pool.

    When none is free the task defers and keeps its place in the queue. While the function runs,
    ``os.environ`` has the lease's mark (``AIRFLOW_AI_GPU_LEASE``), ``CUDA_VISIBLE_DEVICES`` and
    ``CUDA_DEVICE_ORDER``. Nothing asked for means one whole device.

    :param gpus: how many whole devices, all of one host.
    :param gpu_memory: a cooperative share of one device, such as ``"10GiB"``.
    :param mig_profile: a MIG instance, such as ``"1g.10gb"``.
    :param gpu_model: text that the device's model must contain.
    :param gpu_pool: the pool of devices.
    :param priority: higher goes first; the task's own ``priority_weight`` unless said.
    :param team: on whose account.
    :param project: for which project.
    :param phase: for which phase of it.
    :param estimate: how many seconds the function will take.
    :param max_wait: how many seconds to wait at most, over the whole try.
    :param deferrable: wait in the triggerer instead of in a worker slot.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (*PythonOperator.template_fields, *GPU_FIELDS, "store_conn_id")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        gpus: int | str | None = None,
        gpu_memory: str | None = None,
        mig_profile: str | None = None,
        gpu_model: str | None = None,
        gpu_pool: str = "default",
        priority: int | str | None = None,
        team: str | None = None,
        project: str | None = None,
        phase: str | None = None,
        estimate: float | str | None = None,
        max_wait: float | str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        store_conn_id: str = GpuPoolHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, **kwargs)
        self.gpus = gpus
        self.gpu_memory = gpu_memory
        self.mig_profile = mig_profile
        self.gpu_model = gpu_model
        self.gpu_pool = gpu_pool
        self.priority = priority
        self.team = team
        self.project = project
        self.phase = phase
        self.estimate = estimate
        self.max_wait = max_wait
        self.deferrable = deferrable
        self.store_conn_id = store_conn_id
        self._deadline: float | None = None

    def execute(self, context: Context) -> Any:
        """Get a lease, or defer until there is one, and call the function under it."""
        from airflow_ai_provider.services.gpu import held

        hook = GpuPoolHook(self.store_conn_id)
        try:
            ticket = hook.ticket(context, self._request())
            pool = hook.get_conn()
            lease = pool.try_acquire(ticket) if self.deferrable else pool.acquire(ticket)
        except GpuRequestError as error:
            raise AirflowFailException(str(error)) from error
        if lease is None:
            self._wait(ticket)
        with held(pool, lease):
            self.log.info("Holding %s of %s, lease %s", lease.devices, lease.host, lease.mark)
            return super().execute(context)

    def execute_with_lease(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back with the ticket after the trigger fired.

        The lease may have lapsed since; then the task waits again, in its old place.
        """
        from airflow_ai_provider.services.gpu import waited_too_long

        if event["outcome"] == "timeout":
            hook = GpuPoolHook(self.store_conn_id)
            hook.get_conn().withdraw(event["ticket"], reason="waited longer than max_wait")
            raise waited_too_long(self._request(), event["reason"])
        self._deadline = event["deadline"]
        return self.execute(context)  # whole, so that what a subclass adds to it happens too

    def _wait(self, ticket: Ticket) -> NoReturn:
        from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger

        now = time.time()
        deadline = self._deadline
        if deadline is None and ticket.request.max_wait is not None:
            deadline = now + ticket.request.max_wait
        # the first leg's supervisor looks once a heartbeat; until then Airflow thinks it runs
        heartbeat = conf.getint("workers", "min_heartbeat_interval", fallback=5)
        self.log.info("Waiting for %s", ticket.request.describe())
        self.defer(
            trigger=GpuLeaseTrigger(
                ticket=ticket.id,
                not_before=now + heartbeat + 1,
                deadline=deadline,
                store_conn_id=self.store_conn_id,
            ),
            method_name="execute_with_lease",
        )

    def _request(self) -> GpuRequest:
        from airflow_ai_provider.core.gpu.request import GpuRequest

        values = {name: getattr(self, name) for name in GPU_FIELDS}
        if self.priority is None:
            values["priority"] = self.priority_weight
        return GpuRequest.of(**values)
