"""``@task.gpu``: a function that runs under a GPU lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_ai_provider.operators._gpu import in_mirror
from airflow_ai_provider.operators.gpu import GpuPythonOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import TaskDecorator


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
    **kwargs: Any,
) -> TaskDecorator:
    """Make a function a task that runs under a GPU lease.

    Takes what ``GpuPythonOperator`` takes:
    ``@task.gpu(gpus=1, gpu_model="A100", max_wait=3600, mirror_pool=True)``.

    :param python_callable: the function.
    :param multiple_outputs: push each entry of a returned dict as its own XCom.
    """
    if kwargs.get("mirror_pool"):
        kwargs = in_mirror(kwargs, **kwargs)
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_GpuDecoratedOperator,
        **kwargs,
    )
