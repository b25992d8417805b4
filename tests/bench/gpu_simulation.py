"""The queue against its peers, by simulation with the planner that the store runs.

Jobs ask for a quarter of a GPU up to all eight of a host, most of them for one or less, and last as
long as a lognormal says; the weights are assumed, not fitted to any trace. Each belongs to a task,
which fixes its size and its median; the estimate of a job is what the store would have: the 90th
percentile of the last 20 runs of its task that ended, and none before the first. "exact" repeats it
with the durations themselves.

Peers, each in the same event loop on the same jobs:

- plain pool: an Airflow pool and queue for each host; a job is bound to its host by turns, takes
  its GPUs rounded up to whole slots, and is skipped while they are not free (the scheduler's
  semantics; it neither packs nor reserves);
- strict FIFO: best fit over all hosts, nobody overtakes the first that does not fit;
- best effort: best fit over all hosts in order of age, skipping what does not fit;
- offline LPT: knows every job and duration from the start; the better of longest first and widest,
  then longest, first.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind
from airflow_ai_provider.core.gpu.planner import Holding, Queued, plan
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

CARDS = 8  # of a host
PARTS = 4  # of a card: sizes are counted in quarters
CARD_MIB = 81920
SIZES = ((1, 0.30), (2, 0.15), (4, 0.30), (8, 0.10), (16, 0.09), (32, 0.06))
MEDIAN, BETWEEN_TASKS, WITHIN_TASK = 1200.0, 0.9, 0.4  # seconds; sigmas of the logarithm
TASKS = 100
SEEDS = tuple(range(1, 10))
BATCHES = ((1, 150), (4, 600))  # hosts, jobs: 150 a host
BATCH_GOALS = (
    ("plain pool", 0.90),
    ("strict FIFO", 0.90),
    ("best effort", 1.02),
    ("offline LPT", 1.15),
)
STEADY = (4, 2000, 0.9)  # hosts, jobs, load
STEADY_GOALS = (("plain pool", 0.35), ("best effort", 0.60))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of ``size`` quarters of a card."""

    number: int
    task: int
    size: int
    duration: float
    arrives: float

    @property
    def cards(self) -> int:
        """The whole cards that it covers."""
        return -(-self.size // PARTS)

    @property
    def area(self) -> float:
        return self.size * self.duration


Place = tuple[int, tuple[int, ...]]  # a host and cards of it


class Cards:
    """Free quarters of each card, and best fit over them: the peers' placement."""

    def __init__(self, hosts: int) -> None:
        self.free = [[PARTS] * CARDS for _ in range(hosts)]

    def fit(self, job: Job, *, hosts: Iterable[int], share: bool = True) -> Place | None:
        if job.size < PARTS and share:
            tight = [
                (left, sum(f == PARTS for f in self.free[host]), host, card)
                for host in hosts
                for card, left in enumerate(self.free[host])
                if left >= job.size
            ]
            return (min(tight)[2], (min(tight)[3],)) if tight else None
        idle = {h: [c for c, left in enumerate(self.free[h]) if left == PARTS] for h in hosts}
        fits = [(len(cards), host) for host, cards in idle.items() if len(cards) >= job.cards]
        if not fits:
            return None
        host = min(fits)[1]
        return host, tuple(idle[host][: job.cards])

    def change(self, place: Place, by: int) -> None:
        for card in place[1]:
            self.free[place[0]][card] += by


class Peer:
    """A policy that looks at the waiting jobs in one order and starts what fits."""

    def __init__(
        self,
        hosts: int,
        *,
        blocks: bool = False,
        per_host: bool = False,
        order: Callable[[Job], Any] = lambda job: job.number,
    ) -> None:
        self.cards = Cards(hosts)
        self.hosts = range(hosts)
        self.blocks, self.per_host, self.order = blocks, per_host, order
        self.running: dict[int, tuple[Place, int]] = {}

    def started(self, _now: float, waiting: Sequence[Job]) -> list[Job]:
        chosen, failed = [], set()
        for job in sorted(waiting, key=self.order):
            mine = (job.number % len(self.hosts),) if self.per_host else self.hosts
            alike = (job.size, mine)
            if alike in failed:
                continue
            place = self.cards.fit(job, hosts=mine, share=not self.per_host)
            if place is not None:
                taken = PARTS if self.per_host else min(job.size, PARTS)
                self.cards.change(place, -taken)
                self.running[job.number] = (place, taken)
                chosen.append(job)
            elif self.blocks:
                break
            else:
                failed.add(alike)
        return chosen

    def ended(self, _now: float, job: Job) -> None:
        self.cards.change(*self.running.pop(job.number))


@dataclass
class History:
    """What the store knows of a task: its last runs that ended."""

    exact: bool = False
    runs: dict[int, deque[float]] = field(default_factory=lambda: defaultdict(_last_runs))

    def estimate(self, job: Job) -> float | None:
        if self.exact:
            return job.duration
        known = sorted(self.runs[job.task])
        return known[math.ceil(0.9 * len(known)) - 1] if known else None


def _last_runs() -> deque[float]:
    return deque(maxlen=20)


class Ours:
    """The planner, given what the store would give it."""

    def __init__(self, hosts: int, *, exact: bool = False, reserve_after: float = 600.0) -> None:
        self.devices = [
            Device(
                uuid=f"GPU-{card}",
                host=f"host-{host}",
                kind=DeviceKind.GPU,
                model="NVIDIA A100-SXM4-80GB",
                memory_mib=CARD_MIB,
            )
            for host in range(hosts)
            for card in range(CARDS)
        ]
        self.history = History(exact)
        self.reserve_after = reserve_after
        self.running: dict[int, tuple[tuple[tuple[str, str], ...], int | None, float | None]] = {}
        self.estimates: dict[int, float | None] = {}

    def started(self, now: float, waiting: Sequence[Job]) -> list[Job]:
        made = plan(
            self.devices,
            list(self._holdings(now)),
            [self._queued(job, now) for job in waiting],
            reserve_after=self.reserve_after,
        )
        jobs = {str(job.number): job for job in waiting}
        chosen = []
        for grant in made.grants:
            job = jobs[grant.request_id]
            estimate = self.estimates[job.number]
            ends = None if estimate is None else now + estimate
            share = _request(job.size).memory_mib
            self.running[job.number] = (grant.devices, share, ends)
            chosen.append(job)
        return chosen

    def ended(self, _now: float, job: Job) -> None:
        del self.running[job.number]
        self.history.runs[job.task].append(job.duration)

    def _queued(self, job: Job, now: float) -> Queued:
        if job.number not in self.estimates:
            self.estimates[job.number] = self.history.estimate(job)
        return Queued(
            id=str(job.number),
            request=_request(job.size),
            place=job.number,
            waiting=now - job.arrives,
            estimate=self.estimates[job.number],
            class_key=str(job.size),
        )

    def _holdings(self, now: float) -> Iterable[Holding]:
        for devices, share, ends in self.running.values():
            for device in devices:
                yield Holding(
                    device=device,
                    state=LeaseState.ACTIVE,
                    memory_mib=share,
                    ends_in=None if ends is None else ends - now,
                )


_REQUESTS = {
    size: GpuRequest(gpus=size // PARTS)
    if size >= PARTS
    else GpuRequest(memory_mib=size * CARD_MIB // PARTS)
    for size, _ in SIZES
}


def _request(size: int) -> GpuRequest:
    return _REQUESTS[size]


def simulate(jobs: Sequence[Job], policy: Peer | Ours) -> tuple[float, list[float]]:
    """Run ``jobs`` and return the makespan and each job's wait."""
    arrivals = deque(sorted(jobs, key=lambda job: (job.arrives, job.number)))
    ends: list[tuple[float, int, Job]] = []
    waiting: dict[int, Job] = {}
    waits: list[float] = []
    now = 0.0
    while arrivals or ends:
        now = min([arrivals[0].arrives] if arrivals else [], default=math.inf)
        now = min(now, ends[0][0] if ends else math.inf)
        while ends and ends[0][0] <= now:
            policy.ended(now, heapq.heappop(ends)[2])
        while arrivals and arrivals[0].arrives <= now:
            job = arrivals.popleft()
            waiting[job.number] = job
        if not waiting:
            continue
        for job in policy.started(now, list(waiting.values())):
            del waiting[job.number]
            waits.append(now - job.arrives)
            heapq.heappush(ends, (now + job.duration, job.number, job))
    if waiting or len(waits) != len(jobs):
        raise AssertionError(f"{len(waiting)} jobs were never started")
    return now, waits


def make_jobs(seed: int, count: int, *, gap: float = 0.0) -> list[Job]:
    """Return jobs that arrive together, or ``gap`` seconds apart on average."""
    random_ = random.Random(seed)
    tasks = [
        (size, random_.gauss(math.log(MEDIAN), BETWEEN_TASKS))
        for size, part in SIZES
        for _ in range(round(part * TASKS))
    ]
    jobs, now = [], 0.0
    for number in range(count):
        task = random_.randrange(len(tasks))
        size, center = tasks[task]
        now += random_.expovariate(1 / gap) if gap else 0.0
        duration = math.exp(random_.gauss(center, WITHIN_TASK))
        jobs.append(Job(number=number, task=task, size=size, duration=duration, arrives=now))
    return jobs


def lower_bound(jobs: Sequence[Job], hosts: int) -> float:
    """Return a makespan that nothing can beat."""
    area = sum(job.area for job in jobs) / (hosts * CARDS * PARTS)
    wide = sum(job.duration for job in jobs if 2 * job.cards > CARDS) / hosts
    return max(area, wide, *(job.duration for job in jobs))


def at_load(seed: int, count: int, hosts: int, load: float) -> list[Job]:
    """Return jobs that keep ``hosts`` busy to ``load``, by the areas that were drawn."""
    once = make_jobs(seed, count, gap=1.0)
    offered = sum(job.area for job in once) / (hosts * CARDS * PARTS)
    factor = offered / load / once[-1].arrives
    return [Job(**{**vars(job), "arrives": job.arrives * factor}) for job in once]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that ``part`` of all do not pass."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


def lpt(jobs: Sequence[Job], hosts: int) -> float:
    """Return the makespan of who knows everything from the start."""
    orders: tuple[Callable[[Job], Any], ...] = (
        lambda job: -job.duration,
        lambda job: (-job.size, -job.duration),
    )
    return min(simulate(jobs, Peer(hosts, order=order))[0] for order in orders)


def batch(hosts: int, count: int) -> dict[str, list[float]]:
    """Return makespan over the lower bound of each policy, by seed; all jobs come at once."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in SEEDS:
        jobs = make_jobs(seed, count)
        bound = lower_bound(jobs, hosts)
        found["plain pool"].append(simulate(jobs, Peer(hosts, per_host=True))[0] / bound)
        found["strict FIFO"].append(simulate(jobs, Peer(hosts, blocks=True))[0] / bound)
        found["best effort"].append(simulate(jobs, Peer(hosts))[0] / bound)
        found["offline LPT"].append(lpt(jobs, hosts) / bound)
        found["ours"].append(simulate(jobs, Ours(hosts))[0] / bound)
        found["ours, exact"].append(simulate(jobs, Ours(hosts, exact=True))[0] / bound)
    return found


def steady(hosts: int, count: int, load: float) -> dict[str, list[float]]:
    """Return the 99th percentile of the wait under each policy, by seed."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in SEEDS:
        jobs = at_load(seed, count, hosts, load)
        found["plain pool"].append(_p99(jobs, Peer(hosts, per_host=True)))
        found["best effort"].append(_p99(jobs, Peer(hosts)))
        found["ours"].append(_p99(jobs, Ours(hosts)))
        found["ours, exact"].append(_p99(jobs, Ours(hosts, exact=True)))
    return found


def _p99(jobs: Sequence[Job], policy: Peer | Ours) -> float:
    return percentile(simulate(jobs, policy)[1], 0.99)


def measure() -> list[dict[str, Any]]:
    """Simulate batches and a steady load, and return the figures."""
    figures = []
    for hosts, count in BATCHES:
        what = f"makespan / lower bound, batch, {hosts} host{'s' if hosts > 1 else ''}"
        figures.extend(_compared(what, "x", batch(hosts, count), BATCH_GOALS))
    figures.extend(_compared("p99 wait, load 0.9, 4 hosts", "s", steady(*STEADY), STEADY_GOALS))
    return figures


def _compared(
    what: str, unit: str, found: dict[str, list[float]], goals: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    return [
        _figure(what, unit, found, ours, peer, goal)
        for peer, goal in goals
        for ours in ("ours", "ours, exact")
    ]


def _figure(
    what: str, unit: str, found: dict[str, list[float]], ours: str, peer: str, goal: float
) -> dict[str, Any]:
    """Compare medians over the seeds."""
    estimates = "exact" if ours.endswith("exact") else "history"
    value, beside = statistics.median(found[ours]), statistics.median(found[peer])
    return {
        "name": f"{what}: against {peer} ({estimates} estimates)",
        "value": round(value, 3),
        "unit": unit,
        "goal": f"<= {goal:.2f}x {peer}",
        "peer": f"{beside:.3f} {unit}",
        "ratio": round(value / beside, 3),
        "met": value / beside <= goal,
    }


if __name__ == "__main__":
    for figure in measure():
        print(figure)
