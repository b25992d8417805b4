"""Deliveries of data, each behind its gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import task_group

from airflow_ai_provider.operators.quality import DataQualityGateOperator

if TYPE_CHECKING:
    from airflow.sdk import AssetAlias


@task_group
def gated_data(deliveries: Any, *, aliases: list[AssetAlias], on_fail: str = "fail") -> Any:
    """Gate every delivery, side by side, and return the list of reports.

    :param deliveries: a task's list of dicts with the arguments of ``DataQualityGateOperator`` that
        differ from one delivery to the next: ``data``, ``suite``, ``dataset``, ``partition``.
    :param aliases: ``data_alias(name)`` of every data set among them.
    :param on_fail: what a refused delivery does to the run.
    """
    return (
        DataQualityGateOperator.partial(task_id="gate", on_fail=on_fail, outlets=[*aliases])
        .expand_kwargs(deliveries)
        .output
    )
