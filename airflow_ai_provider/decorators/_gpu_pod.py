"""What ``@task.gpu`` makes of a function on Kubernetes."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import FunctionNotPortableError
from airflow_ai_provider.core.gpu.shipping import ship
from airflow_ai_provider.operators.gpu_kubernetes import GpuKubernetesPodOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

# of a task's context, what is a value and not a way back into Airflow
_SENT = frozenset(
    {
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "logical_date",
        "params",
        "run_id",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
    }
)


class _GpuPodDecoratedOperator(  # type: ignore[misc] # as the two are put together in Airflow
    DecoratedOperator, GpuKubernetesPodOperator
):
    """The function in a pod of its own, under what ``GpuKubernetesPodOperator`` gives it."""

    custom_operator_name = "@task.gpu"
    template_fields: Sequence[str] = (
        "op_args",
        "op_kwargs",
        *(f for f in GpuKubernetesPodOperator.template_fields if f not in {"cmds", "arguments"}),
    )
    template_fields_renderers = {
        **GpuKubernetesPodOperator.template_fields_renderers,
        "op_args": "py",
        "op_kwargs": "py",
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable",)

    def __init__(self, *, do_xcom_push: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("name", f"gpu-{kwargs['python_callable'].__name__}")
        super().__init__(do_xcom_push=do_xcom_push, **kwargs)

    def build_pod_request_obj(
        self, context: Context | None = None, *, dry_run: bool = False
    ) -> V1Pod:
        """Return the pod with its GPUs, and with the function for its program.

        Made anew for every leg of the task and every pod of it: nothing of it is kept.
        """
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        try:
            self._load(pod, self._shipped(context))
        except FunctionNotPortableError as error:  # the next try would have the same function
            raise AirflowFailException(str(error)) from error
        return pod

    def _shipped(self, context: Context | None) -> str:
        args = [_plain(value) for value in self.op_args]
        return ship(self.python_callable, args, self._named_arguments(context))

    def _load(self, pod: V1Pod, text: str) -> None:
        """Make the function that ``text`` holds the pod's program."""
        from kubernetes.client import V1EnvVar

        from airflow_ai_provider import trainer

        name = self.base_container_name
        base = next((c for c in pod.spec.containers if c.name == name), pod.spec.containers[0])
        base.command = ["python", "-c", Path(trainer.__file__).read_text(encoding="utf-8")]
        base.args = []
        others = [variable for variable in base.env or () if variable.name != trainer.SHIPPED]
        base.env = [*others, V1EnvVar(name=trainer.SHIPPED, value=text)]

    def _named_arguments(self, context: Context | None) -> dict[str, Any]:
        """Return the arguments by name, with those that the function wants of the context."""
        found = {name: _plain(value) for name, value in self.op_kwargs.items()}
        known: Mapping[str, Any] = context or {}
        parameters = inspect.signature(self.python_callable).parameters
        for name, parameter in list(parameters.items())[len(self.op_args) :]:
            if name in found or name not in known or parameter.kind is parameter.VAR_KEYWORD:
                continue
            if name not in _SENT:
                raise FunctionNotPortableError(
                    f"{self.python_callable.__name__} takes {name!r}, which leads back into "
                    "Airflow and is not there in a pod.",
                    remedy=f"Hand over what you need of it, or take one of "
                    f"{', '.join(sorted(_SENT))}.",
                )
            found[name] = _plain(known[name])
        return found


def _plain(value: Any) -> Any:
    """Return ``value`` without the types of Airflow, which an image need not have."""
    if isinstance(value, datetime.datetime) and type(value) is not datetime.datetime:
        return datetime.datetime.fromisoformat(value.isoformat())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | range):
        items = [_plain(item) for item in value]  # also what a mapped task handed over, one by one
        return tuple(items) if type(value) is tuple else items
    return value
