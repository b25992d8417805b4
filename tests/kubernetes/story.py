"""What the emulator wrote down of pods, held to what was promised of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.values import is_over, requests_of

_WHO = ("dag_id", "task_id", "run_id", "map_index")


def pods_of(
    cluster: Cluster, *, devices: int, resource: str = "nvidia.com/gpu"
) -> dict[tuple[Any, ...], int]:
    """Return how many pods each task had in all.

    No task ever had two at a time, whatever its tries, and no more than ``devices`` were bound.
    """
    alive: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    every: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    bound: dict[str, float] = {}
    for what, pod in cluster.call(lambda: list(cluster.objects.story["pods"])):
        labels, uid = pod["metadata"]["labels"], pod["metadata"]["uid"]
        task = tuple(labels.get(name) for name in _WHO)
        every[task].add(uid)
        if what == "DELETED" or is_over(pod):
            alive[task].discard(uid)
            bound.pop(uid, None)
            continue
        alive[task].add(uid)
        assert len(alive[task]) == 1, f"two pods at a time of {task}"
        if pod["spec"].get("nodeName"):
            bound[uid] = requests_of(pod)[resource]
        assert sum(bound.values()) <= devices
    return {task: len(uids) for task, uids in every.items()}
