"""How long tasks take, kept for the scheduler's priorities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException


class TaskDurationsOperator(BaseOperator):
    """Learn how long tasks take from what Airflow finished, for ``CriticalPathPriority``.

    Run it in a maintenance DAG, every day or hour, on a machine that shares the file with the
    schedulers. It asks Airflow's REST API for what succeeded since the last time. Returns
    ``{"read", "dags", "tasks", "until"}``.

    :param api_conn_id: the connection to Airflow's REST API, of type ``http``, of a user who may
        read DAG runs and task instances.
    :param durations_file: the file; the setting ``durations_file`` unless said.
    """

    template_fields: Sequence[str] = ("api_conn_id", "durations_file")
    ui_color = "#e8e0f5"

    def __init__(
        self,
        *,
        api_conn_id: str = "airflow_api_default",
        durations_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.api_conn_id = api_conn_id
        self.durations_file = durations_file

    def execute(self, context: Any) -> dict[str, Any]:
        from airflow_ai_provider.core.errors import TaskDurationsError
        from airflow_ai_provider.hooks._durations import learn_durations

        try:
            learnt = learn_durations(self.api_conn_id, self.durations_file)
        except TaskDurationsError as error:
            raise AirflowFailException(str(error)) from error
        self.log.info(
            "Read %d finished task instances; %d tasks of %d DAGs are known",
            learnt.read,
            learnt.tasks,
            learnt.dags,
        )
        return asdict(learnt)
