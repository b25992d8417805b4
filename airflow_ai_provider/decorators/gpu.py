"""``@task.gpu``: a function that runs under a GPU lease, on a worker or in a pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
from airflow.sdk.configuration import conf

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.operators._gpu import in_mirror
from airflow_ai_provider.operators.gpu import GpuPythonOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import TaskDecorator

_BACKENDS = ("local", "kubernetes")
_LOCAL = frozenset(
    {"idle_limit", "mirror_pool", "on_cuda_initialised", "show_return_value_in_logs"}
)


class _GpuDecoratedOperator(DecoratedOperator, GpuPythonOperator):
    """What ``@task.gpu`` makes of a function."""

    custom_operator_name = "@task.gpu"
    template_fields: Sequence[str] = GpuPythonOperator.template_fields
    template_fields_renderers = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any],
        op_kwargs: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kwargs_to_upstream={
                "python_callable": python_callable,
                "op_args": op_args,
                "op_kwargs": op_kwargs,
            },
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **kwargs,
        )


def gpu_task(
    python_callable: Callable[..., Any] | None = None,
    multiple_outputs: bool | None = None,
    *,
    backend: str | None = None,
    kubernetes: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> TaskDecorator:
    """Make a function a task that runs under a GPU lease, here or in a pod.

    Takes what ``GpuPythonOperator`` takes:
    ``@task.gpu(gpus=1, gpu_model="A100", max_wait=3600, mirror_pool=True)``.

    With the backend ``kubernetes`` the same function runs in a pod of its own, with everything that
    ``GpuKubernetesPodOperator`` does for one. Its source and its arguments are sent along, so it
    imports what it uses inside; what it returns comes back as JSON by XCom. A pod has whole
    devices: ``gpu_memory`` becomes the least memory of its card, ``mig_profile`` the resource
    ``nvidia.com/mig-<profile>``; ``idle_limit``, ``mirror_pool`` and ``on_cuda_initialised`` are
    about a worker's process and mean nothing there. ``gpu_model`` must be a label's whole value:
    where that differs, write it into ``kubernetes``.

    :param python_callable: the function.
    :param multiple_outputs: push each entry of a returned dict as its own XCom.
    :param backend: ``local`` or ``kubernetes``; the setting ``gpu_backend`` unless said. Then the
        same DAG runs in both places.
    :param kubernetes: arguments of ``GpuKubernetesPodOperator`` that hold there only, such as
        ``{"image": "trainer:1", "kueue_queue": "training"}``; ignored elsewhere. The image may come
        from the setting ``gpu_image``, more from ``gpu_pod_template``.
    :raises GpuRequestError: there is no such backend.
    """
    chosen = backend or conf.get("ai_provider", "gpu_backend", fallback="local")
    if chosen not in _BACKENDS:
        raise GpuRequestError(
            f"There is no GPU backend {chosen!r}.",
            remedy=f"Use {' or '.join(_BACKENDS)}: in backend, or in [ai_provider] gpu_backend.",
        )
    decorated: Any = _GpuDecoratedOperator
    if chosen == "kubernetes":
        from airflow_ai_provider.decorators._gpu_pod import _GpuPodDecoratedOperator

        decorated, kwargs = _GpuPodDecoratedOperator, for_pod(kwargs, kubernetes or {})
    elif kwargs.get("mirror_pool"):
        kwargs = in_mirror(kwargs, **kwargs)
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=decorated,
        **kwargs,
    )


def for_pod(kwargs: dict[str, Any], kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the pod for what was said of a local task."""
    found = {name: value for name, value in kwargs.items() if name not in _LOCAL}
    memory, profile = found.pop("gpu_memory", None), found.pop("mig_profile", None)
    if memory is not None:
        found.setdefault("min_gpu_memory", memory)
    if profile is not None:
        found.setdefault("gpu_resource", f"nvidia.com/mig-{profile}")
    for name, option in (("image", "gpu_image"), ("pod_template_file", "gpu_pod_template")):
        if value := conf.get("ai_provider", option, fallback=""):
            found.setdefault(name, value)
    return {**found, **kubernetes}
