"""What every operator has that runs under a GPU lease."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import (
    CudaInitialisedError,
    GpuRequestError,
    HolderBusyError,
    LeaseLostError,
)
from airflow_ai_provider.core.gpu.mirror import mirror_name, mirror_slots
from airflow_ai_provider.hooks import _metrics
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.links.gpu import GpuLeaseLink

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

    from airflow_ai_provider.core.gpu.lease import Ticket
    from airflow_ai_provider.core.gpu.request import GpuRequest
    from airflow_ai_provider.services.gpu import Lease

# of every request: its place in the queue, on whose account it is, how long it takes
QUEUE_FIELDS = ("priority", "team", "project", "phase", "estimate", "max_wait")
GPU_FIELDS = (
    "gpus",
    "gpu_memory",
    "mig_profile",
    "gpu_model",
    "gpu_pool",
    *QUEUE_FIELDS,
    "idle_limit",
)
LEASE_KEY = "gpu_lease_id"
_WAITING, _RUNNING = "waiting", "running"
_TERMINATED = 143  # what a shell says of a process that SIGTERM ended
_link = GpuLeaseLink()


def in_mirror(
    arguments: dict[str, Any], *, gpu_pool: Any = "default", gpus: Any = None, **_: Any
) -> dict[str, Any]:
    """Return ``arguments`` with the Airflow pool that mirrors ``gpu_pool``, and slots of it.

    Airflow's scheduler reads both from the parsed DAG; what ``arguments`` say stands.
    """
    mirror = {"pool": mirror_name(str(gpu_pool)), "pool_slots": mirror_slots(gpus)}
    return {**mirror, **arguments}


class GpuLeaseOperator(BaseOperator):
    """Hold devices of the GPU-slot pool while the work of the operator that it is mixed into runs.

    Stands before that operator among the bases. What can never be met fails without retries; a wait
    that is too long and a lease that is lost are retried like any other failure. The XCom
    ``gpu_lease_id`` is there before the work begins.
    """

    template_fields: Sequence[str] = (*GPU_FIELDS, "store_conn_id")
    operator_extra_links = (_link,)

    def __init__(
        self,
        *,
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
        idle_limit: float | str | None = None,
        mirror_pool: bool = False,
        on_cuda_initialised: str = "refuse",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        store_conn_id: str = GpuPoolHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        if mirror_pool and not getattr(self, "_BaseOperator__from_mapped", False):
            kwargs = in_mirror(kwargs, gpu_pool=gpu_pool, gpus=gpus)
        super().__init__(**kwargs)
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
        self.idle_limit = idle_limit
        self.mirror_pool = mirror_pool
        self.on_cuda_initialised = on_cuda_initialised
        self.deferrable = deferrable
        self.store_conn_id = store_conn_id
        self._deadline: float | None = None
        self._waiting_since: float | None = None
        self._doing: str | None = None
        self._lease_env: dict[str, str] = {}

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Return what ``expand`` maps over, in the pool that mirrors ``gpu_pool`` where asked."""
        if kwargs.get("mirror_pool"):
            kwargs = in_mirror(kwargs, **kwargs)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> Any:
        """Get a lease, or defer until there is one, and do the work under it."""
        from airflow_ai_provider.adapters import cuda
        from airflow_ai_provider.services.gpu import held

        self._check_mirror()
        self._check_cuda()
        hook = GpuPoolHook(self.store_conn_id)
        lease = self._lease(hook, context)
        tags = {"pool": str(self.gpu_pool), "host": lease.host}
        _metrics.waited(time.time() - (self._waiting_since or 0.0), **tags)
        hook.report()
        begun = time.monotonic()
        try:
            # the memory that CUDA took in this process is free again when the process has ended
            with held(hook.get_conn(), lease, keep=lambda: cuda.initialised_by() is not None):
                context["ti"].xcom_push(key=LEASE_KEY, value=lease.id)
                self.log.info("Holding %s of %s, lease %s", lease.devices, lease.host, lease.mark)
                self._lease_env = lease.env
                with self._while(_RUNNING):
                    return super().execute(context)
        except LeaseLostError:
            _metrics.lost(**tags)
            raise
        finally:
            _metrics.held(time.monotonic() - begun, **tags)
            hook.report()

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
        self._waiting_since = event["waiting_since"]
        return self.execute(context)  # whole, so that what a subclass adds to it happens too

    def on_kill(self) -> None:
        """Give up a wait; what runs is ended by the operator that this is mixed into.

        Airflow calls this from its signal handler and kills the process seconds later; what is left
        then is ended and released by the keeper.
        """
        super().on_kill()
        self._end_early(_WAITING)

    def _end_early(self, doing: str) -> None:
        """Unwind what this process does, if that is ``doing``: leases and tickets are given up."""
        if self._doing == doing:
            self.log.warning("Ended while %s", doing)
            raise SystemExit(_TERMINATED)

    def _lease(self, hook: GpuPoolHook, context: Context) -> Lease:
        try:
            ticket = hook.ticket(context, self._request(), may_move=self.deferrable)
            self._waiting_since = self._waiting_since or time.time()
            context["ti"].xcom_push(
                key=_link.xcom_key, value=_link.get_link(self, ti_key=context["ti"])
            )
            pool = hook.get_conn()
            with self._while(_WAITING):
                lease = pool.try_acquire(ticket) if self.deferrable else pool.acquire(ticket)
        except HolderBusyError:
            raise  # its process may end
        except GpuRequestError as error:
            raise AirflowFailException(str(error)) from error
        if lease is None:
            self._wait(ticket)
        return lease

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
                waiting_since=self._waiting_since,
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

    def _check_mirror(self) -> None:
        wanted = mirror_name(str(self.gpu_pool))
        if self.mirror_pool and self.pool != wanted:
            raise AirflowFailException(
                f"mirror_pool=True takes slots in the Airflow pool {wanted!r}, but this task runs "
                f"in {self.pool!r}. Leave pool out, and write gpu_pool without a template and "
                "outside expand()."
            )

    def _check_cuda(self) -> None:
        from airflow_ai_provider.adapters import cuda

        if self.on_cuda_initialised not in {"refuse", "warn"}:
            raise AirflowFailException(
                f"on_cuda_initialised={self.on_cuda_initialised!r} means nothing. "
                'Write "refuse" or "warn".'
            )
        if (why := cuda.initialised_by()) is None:
            return
        error = CudaInitialisedError(
            f"CUDA is initialised in this process before the task has its devices: {why}.",
            remedy="Import and initialise CUDA libraries inside the task, not in the DAG file, "
            "a plugin or a listener.",
            because=why,
        )
        if self.on_cuda_initialised == "refuse":
            raise error
        self.log.warning("%s", error)

    @contextmanager
    def _while(self, doing: str) -> Iterator[None]:
        self._doing = doing
        try:
            yield
        finally:
            self._doing = None
