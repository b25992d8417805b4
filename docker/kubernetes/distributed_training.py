"""A worked example: search for parameters, then train with the best of them on two nodes.

It needs the extras ``kubernetes`` and ``search``, ``rbac.yaml`` and ``distributed.yaml`` of this
folder, and an image with PyTorch and your training code, here a module ``train`` that reads
``--rate`` and ``--decay`` and starts its process group from the environment
(``init_process_group("nccl")``). Each trial of the search is a pod of its own, of any image with a
Python: the study stays with the task.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import dag

from airflow_ai_provider.operators.gpu_job import GpuKubernetesJobOperator
from airflow_ai_provider.task_groups.search import search

TORCHRUN = (
    "torchrun --nnodes=$NNODES --node-rank=$NODE_RANK --nproc-per-node=$GPUS_PER_NODE "
    "--master-addr=$MASTER_ADDR --master-port=$MASTER_PORT -m train --rate=$RATE --decay=$DECAY"
)


def objective(trial: Any) -> float:
    """A small training on one device; replace it by yours, which imports what it uses."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    decay = trial.suggest_float("decay", 0, 0.1)
    return abs(rate - 1e-3) + decay


SPACE = {"rate": {"low": 1e-5, "high": 1e-1, "log": True}, "decay": {"low": 0.0, "high": 0.1}}
IMAGE = {"image": "registry.example.com/trainer:1", "namespace": "airflow"}
FOUND = "{{ ti.xcom_pull(task_ids='search.best')['params']['%s'] }}"


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False)
def distributed_training():
    """Two pods of four GPUs each: all eight are leased in one decision, or none is."""
    best = search(
        objective, model_name="vision", trials=20, parallel=4, sampler="cmaes", gpus=1,
        backend="kubernetes", space=SPACE, kubernetes=IMAGE,
    )  # fmt: skip
    train = GpuKubernetesJobOperator(
        task_id="train",
        image="registry.example.com/trainer:1",
        namespace="airflow",
        workers=2,
        gpus=4,
        shared_memory="16Gi",
        cmds=["bash", "-c"],
        arguments=[TORCHRUN],
        env_vars={name.upper(): FOUND % name for name in SPACE},
        deferrable=True,
        retries=2,  # a pod that fails ends the Job; the next try begins from its checkpoint
    )
    best >> train


distributed_training()
