"""What a plan costs: 1000 different requests on 512 GPUs, and how that grows.

Half of the cluster is held when a plan is made, by leases with known and unknown ends; each request
differs from every other in what it asks, its priority, team or memory, so that no answer serves
two. Each size is planned several times, the sizes interleaved, and medians of the CPU time are
quoted: a plan waits for nothing, and other programs of the machine shall not count.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Topology
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner import Holding, Queued, plan
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

CARD_MIB = 81920
TEAMS = ("vision", "speech", "ranking", "search", "labs", "ads", "maps", "core")
PHASES = ("discovery", "pilot", "production")
QUOTAS = tuple(
    Quota(kind="team", name=team, weight=1 + number % 3, guaranteed=4 * number, ceiling=400)
    for number, team in enumerate(TEAMS)
)
ROUNDS = 7


def cluster(hosts: int, cards: int = 8) -> list[Device]:
    """Return hosts whose cards are joined in pairs by NVLink."""
    found = []
    for host in range(hosts):
        names = [f"GPU-{host:04d}-{card}" for card in range(cards)]
        for card, name in enumerate(names):
            near = tuple(
                (o, "node" if n // 4 == card // 4 else "system")
                for n, o in enumerate(names)
                if n != card
            )
            topology = Topology(bus=f"{card:02x}:00.0", nvlink=(names[card ^ 1],), near=near)
            found.append(
                Device(
                    uuid=name,
                    host=f"host-{host:03d}",
                    kind=DeviceKind.GPU,
                    model="NVIDIA A100-SXM4-80GB",
                    memory_mib=CARD_MIB,
                    topology=topology,
                )
            )
    return found


def held(devices: list[Device], random_: random.Random) -> list[Holding]:
    """Return leases on half of the devices: whole cards and shares."""
    holdings = []
    for device in random_.sample(devices, len(devices) // 2):
        team = random_.choice(TEAMS)
        ends = random_.choice([None, random_.uniform(1, 7200)])
        shares = random_.choice([(None,), (None,), (random_.randint(1000, 30000),) * 2])
        holdings.extend(
            Holding(
                device=device.key,
                state=LeaseState.ACTIVE,
                memory_mib=share,
                team=team,
                ends_in=ends,
            )
            for share in shares
        )
    return holdings


def different_requests(count: int, random_: random.Random) -> list[Queued]:
    """Return requests of which no two are alike."""
    found = []
    for number in range(count):
        share, project = number % 3 == 0, random_.randrange(40)
        request = GpuRequest(
            gpus=None if share else random_.choice([1, 1, 1, 2, 2, 4, 8]),
            memory_mib=1000 + 20 * number if share else None,
            gpu_model=random_.choice([None, "A100"]),
            priority=random_.choice([0, 0, 0, 1, 5]),
            team=TEAMS[project % len(TEAMS)],
            project=f"project-{project}",
            phase=random_.choice(PHASES),
        )
        found.append(
            Queued(
                id=f"request-{number}",
                request=request,
                place=number,
                waiting=float(count - number),
                estimate=random_.uniform(60, 7200),
                class_key=f"class-{number}",
            )
        )
    return found


def measure() -> list[dict[str, Any]]:
    """Plan at each size and return the figures."""
    sizes = {"8 GPUs": (1, 1000), "512 GPUs": (64, 1000), "100 waiters": (64, 100)}
    cases = {}
    for name, (hosts, count) in sizes.items():
        random_ = random.Random(7)
        devices = cluster(hosts)
        cases[name] = (devices, held(devices, random_), different_requests(count, random_))
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (devices, holdings, queue) in cases.items():
            start = time.process_time()
            made = plan(devices, holdings, queue, quotas=QUOTAS)
            spent[name].append(1000 * (time.process_time() - start))
            assert len(made.grants) + len(made.waiting) + len(made.refused) == len(queue)
    took = {name: statistics.median(times) for name, times in spent.items()}
    most = took["512 GPUs"]
    return [
        _figure("plan 1000 different requests on 512 GPUs", most, "ms", 50.0, None),
        _figure("plan: 8 -> 512 GPUs", most / took["8 GPUs"], "x", 4.0, took["8 GPUs"]),
        _figure(
            "plan: 100 -> 1000 waiters", most / took["100 waiters"], "x", 12.0, took["100 waiters"]
        ),
    ]


def _figure(name: str, value: float, unit: str, goal: float, peer: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "goal": f"<= {goal:g} {unit}",
        "peer": None if peer is None else f"{peer:.2f} ms",
        "ratio": None if peer is None else round(value, 2),
        "met": value <= goal,
    }


if __name__ == "__main__":
    for figure in measure():
        print(figure)
