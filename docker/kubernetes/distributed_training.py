"""A worked example: search for parameters, then train with the best of them on two nodes.

It needs the extras ``kubernetes`` and ``search``, ``rbac.yaml`` and ``distributed.yaml`` of this
folder, and an image with PyTorch and your training code, here a module ``train`` that reads
``--rate`` and starts its process group from the environment (``init_process_group("nccl")``).
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import dag

from airflow_ai_provider.operators.gpu_job import GpuKubernetesJobOperator
from airflow_ai_provider.task_groups.search import search

TORCHRUN = (
    "torchrun --nnodes=$NNODES --node-rank=$NODE_RANK --nproc-per-node=$GPUS_PER_NODE "
    "--master-addr=$MASTER_ADDR --master-port=$MASTER_PORT -m train --rate=$RATE"
)


def objective(trial: Any) -> float:
    """A small training on one device; replace it by yours."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    return abs(rate - 1e-3)


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False)
def distributed_training():
    """Two pods of four GPUs each: all eight are leased in one decision, or none is."""
    best = search(objective, model_name="vision", trials=20, sampler="cmaes", gpus=1)
    train = GpuKubernetesJobOperator(
        task_id="train",
        image="registry.example.com/trainer:1",
        namespace="airflow",
        workers=2,
        gpus=4,
        shared_memory="16Gi",
        cmds=["bash", "-c"],
        arguments=[TORCHRUN],
        env_vars={"RATE": "{{ ti.xcom_pull(task_ids='search.best')['params']['rate'] }}"},
        deferrable=True,
        retries=2,  # a pod that fails ends the Job; the next try begins from its checkpoint
    )
    best >> train


distributed_training()
