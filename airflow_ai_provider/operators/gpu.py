"""Python and Bash under a GPU lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator

from airflow_ai_provider.operators._gpu import _RUNNING, GPU_FIELDS, GpuLeaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["GPU_FIELDS", "GpuBashOperator", "GpuPythonOperator"]


class GpuPythonOperator(GpuLeaseOperator, PythonOperator):
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
    :param idle_limit: after how many seconds without use of the devices the lease ends.
    :param mirror_pool: also take slots of the Airflow pool that mirrors ``gpu_pool``: as many as
        ``gpus`` says, unless ``pool_slots`` does.
    :param on_cuda_initialised: ``"refuse"`` or ``"warn"`` when this process has initialised CUDA
        before it has its devices, which it then would not see.
    :param deferrable: wait in the triggerer instead of in a worker slot.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (
        *PythonOperator.template_fields,
        *GpuLeaseOperator.template_fields,
    )

    def on_kill(self) -> None:
        """Unwind the function, so that it can tidy up and the devices are handed on at once."""
        super().on_kill()
        self._end_early(_RUNNING)


class GpuBashOperator(GpuLeaseOperator, BashOperator):
    """Run a Bash command while holding devices of the GPU-slot pool.

    Takes what ``BashOperator`` takes and, for the lease, what ``GpuPythonOperator`` takes. The
    command's environment has the lease's mark, ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER``,
    also where ``env`` replaces the rest of it.
    """

    template_fields: Sequence[str] = (
        *BashOperator.template_fields,
        *GpuLeaseOperator.template_fields,
    )

    def get_env(self, context: Context) -> dict[str, str]:
        """Return the command's environment, with the lease's variables on top."""
        return {**super().get_env(context), **self._lease_env}
