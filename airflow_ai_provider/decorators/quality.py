"""``@task.quality_gate``: a function says at run time what a data gate looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_ai_provider.operators.quality import DataQualityGateOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_ai_provider.hooks.quality import DataQualityHook


class _QualityGateDecoratedOperator(DecoratedOperator, DataQualityGateOperator):
    """What ``@task.quality_gate`` makes of a function."""

    custom_operator_name = "@task.quality_gate"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *DataQualityGateOperator.template_fields,
    )
    template_fields_renderers = {
        **DecoratedOperator.template_fields_renderers,
        **DataQualityGateOperator.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any],
        op_kwargs: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs
        )

    def _said(self) -> tuple[Any, ...]:
        return (self.data, self.table, self.sql, self.frame_callable, self.python_callable)

    def _data(self, hook: DataQualityHook, context: Context) -> Any:
        from airflow_ai_provider.hooks._quality_data import described

        self._need_one()
        named = self.determine_kwargs({**context, **self.op_kwargs})
        given = self.python_callable(*self.op_args, **named)
        name = getattr(self.python_callable, "__name__", "The function")
        return described(given, hook, said_by=name, conn_id=self.conn_id)


def quality_gate_task(
    python_callable: Callable[..., Any] | None = None,
    multiple_outputs: bool | None = None,
    **kwargs: Any,
) -> TaskDecorator:
    """Make a function a data gate: what it returns at run time is what the gate looks at.

    It returns a path or an address (a ``str`` or an ``ObjectStoragePath``), a table or a query
    (``{"conn_id": "shop", "table": "orders"}``, or ``"sql"``; ``conn_id`` of the decorator unless
    the function says one), or a frame of pandas, polars or Arrow. The task's own result is the
    gate's report. Takes what ``DataQualityGateOperator`` takes, but for the data:
    ``@task.quality_gate(suite="/suites/orders.json", dataset="orders", on_fail="skip")``.

    :param python_callable: the function.
    :param multiple_outputs: push each entry of the report as its own XCom.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_QualityGateDecoratedOperator,
        **kwargs,
    )
