"""An operator that is made does nothing yet: DAG files are parsed often, and far from the data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_ai_provider.decorators.gpu import gpu_task
from airflow_ai_provider.decorators.quality import quality_gate_task
from airflow_ai_provider.operators.approval_quorum import ApprovalQuorumOperator
from airflow_ai_provider.operators.drift import DriftGateOperator
from airflow_ai_provider.operators.durations import TaskDurationsOperator
from airflow_ai_provider.operators.exceptions import ExceptionReviewOperator
from airflow_ai_provider.operators.feedback import (
    FeedbackIngestOperator,
    FeedbackMetricsOperator,
    RetrainDecisionOperator,
)
from airflow_ai_provider.operators.gpu import GpuBashOperator, GpuPythonOperator
from airflow_ai_provider.operators.lifecycle import (
    MilestoneFormOperator,
    MilestoneOperator,
    PhaseGateOperator,
)
from airflow_ai_provider.operators.lifecycle_decisions import (
    ModelRetireOperator,
    PhaseOverrideOperator,
    ProjectHandOverOperator,
)
from airflow_ai_provider.operators.model_card import ModelCardOperator
from airflow_ai_provider.operators.model_evidence import (
    ModelEvidenceOperator,
    TraceEvidenceOperator,
)
from airflow_ai_provider.operators.project_report import ProjectReportOperator
from airflow_ai_provider.operators.promotion import (
    ModelCopyOperator,
    ModelGateOperator,
    ModelPromoteOperator,
    ModelRollbackOperator,
    PromotionApprovalOperator,
)
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.operators.quality_required import DataQualityRequiredOperator
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.sensors.gpu import GpuSlotsSensor
from airflow_ai_provider.sensors.promotion import AliasDriftSensor, ModelVersionSensor
from airflow_ai_provider.sensors.quality import DataQualitySensor

NOWHERE = "/nowhere/at/all"
TOUCHING = ("open", "os.listdir", "os.mkdir", "socket.", "sqlite3.", "subprocess.", "urllib.")
_watchers: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event.startswith(TOUCHING):
        _watchers[-1].append(f"{event} {arguments[:1]}")


sys.addaudithook(_watch)


@contextmanager
def touched() -> Iterator[list[str]]:
    found: list[str] = []
    _watchers.append(found)
    try:
        yield found
    finally:
        _watchers.pop()


def print_it() -> None:
    """A function that a task may be made of."""


MAKERS: dict[str, Callable[[], Any]] = {
    "GpuPythonOperator": lambda: GpuPythonOperator(
        task_id="t", python_callable=print, gpus="{{ 1 }}"
    ),
    "GpuBashOperator": lambda: GpuBashOperator(
        task_id="t", bash_command="true", gpus="{{ 1 }}", cwd=NOWHERE, mirror_pool=True,
        on_cuda_initialised="what", idle_limit="long",
    ),
    "GpuSlotsSensor": lambda: GpuSlotsSensor(task_id="t", gpu_memory="what", gpus=-1),
    "@task.gpu": gpu_task(print_it, gpus=-1, gpu_memory="what", mirror_pool=True),
    "DataQualityGateOperator": lambda: DataQualityGateOperator(
        task_id="t", data=NOWHERE, suite=NOWHERE, dataset="x", on_fail="what"
    ),
    "@task.quality_gate": quality_gate_task(print_it, suite=NOWHERE, dataset="x", on_fail="what"),
    "DataQualityRequiredOperator": lambda: DataQualityRequiredOperator(
        task_id="t", dataset="x", max_age="what", verdict="what", on_fail="what"
    ),
    "DataQualitySensor": lambda: DataQualitySensor(task_id="t", dataset="x", max_age="what"),
    "DriftGateOperator": lambda: DriftGateOperator(
        task_id="t", data=NOWHERE, reference=NOWHERE, dataset="x", methods=["what"]
    ),
    "ModelEvidenceOperator": lambda: ModelEvidenceOperator(
        task_id="t", evidence=None, inputs=NOWHERE, memory_limit="what", time_limit="{{ 1 }}"
    ),
    "TraceEvidenceOperator": lambda: TraceEvidenceOperator(
        task_id="t", evidence=None, experiments=7, trace_filter="{{ 1 }}"
    ),
    "ModelCardOperator": lambda: ModelCardOperator(
        task_id="t", verdict=None, project_file=NOWHERE, folder=NOWHERE
    ),
    "ApprovalQuorumOperator": lambda: ApprovalQuorumOperator(
        task_id="t", approvals=None, needed="what"
    ),
    "ModelGateOperator": lambda: ModelGateOperator(task_id="t", evidence=None, criteria=NOWHERE),
    "ModelPromoteOperator": lambda: ModelPromoteOperator(
        task_id="t", model_name="m", version="{{ 1 }}", environment="what"
    ),
    "ModelCopyOperator": lambda: ModelCopyOperator(
        task_id="t", model_name="m", version="{{ 1 }}", target_name="m", mlflow_conn_id="none",
        work_dir=NOWHERE,
    ),
    "ModelRollbackOperator": lambda: ModelRollbackOperator(
        task_id="t", model_name="m", environment="what", target="{{ 1 }}"
    ),
    "PromotionApprovalOperator": lambda: PromotionApprovalOperator(
        task_id="t", subject="s", evidence={}, assigned_users=[]
    ),
    "FeedbackIngestOperator": lambda: FeedbackIngestOperator(task_id="t", paths=NOWHERE),
    "FeedbackMetricsOperator": lambda: FeedbackMetricsOperator(
        task_id="t", model_name="m", predictions=NOWHERE, partition="p"
    ),
    "RetrainDecisionOperator": lambda: RetrainDecisionOperator(
        task_id="t", model_name="m", policy=NOWHERE, metrics=None, champion=None, partition="p",
        window_end="what", newest_data=None,
    ),
    "ExceptionReviewOperator": lambda: ExceptionReviewOperator(
        task_id="t", model_name="m", predictions=NOWHERE, people=-1, assigned_users="{{ 1 }}"
    ),
    "FeedbackSensor": lambda: FeedbackSensor(task_id="t", model_name="m", min_records="{{ 1 }}"),
    "ModelVersionSensor": lambda: ModelVersionSensor(
        task_id="t", model_name="m", newer_than="what", deferrable=True
    ),
    "AliasDriftSensor": lambda: AliasDriftSensor(task_id="t", model_name="m"),
    "MilestoneOperator": lambda: MilestoneOperator(task_id="t", project=NOWHERE, milestone="what"),
    "MilestoneFormOperator": lambda: MilestoneFormOperator(
        task_id="t", project=NOWHERE, milestone="kick_off"
    ),
    "PhaseOverrideOperator": lambda: PhaseOverrideOperator(
        task_id="t", project=NOWHERE, refusal=None
    ),
    "ModelRetireOperator": lambda: ModelRetireOperator(
        task_id="t", project=NOWHERE, model_name="what", archive=NOWHERE
    ),
    "ProjectHandOverOperator": lambda: ProjectHandOverOperator(task_id="t", project=NOWHERE),
    "PhaseGateOperator": lambda: PhaseGateOperator(task_id="t", project=NOWHERE, phase="what"),
    "TaskDurationsOperator": lambda: TaskDurationsOperator(task_id="t", durations_file=NOWHERE),
    "ProjectReportOperator": lambda: ProjectReportOperator(
        task_id="t", project="what", html=NOWHERE, markdown="{{ 1 }}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_making_an_operator_touches_nothing_and_checks_nothing(name: str) -> None:
    with DAG("d", schedule=None):
        MAKERS[name]()  # once, so that what is imported is there
    with DAG("e", schedule=None), touched() as found:
        MAKERS[name]()
    assert found == []
