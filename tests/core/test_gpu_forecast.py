"""When a request is expected to start."""

from __future__ import annotations

import time

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner import Holding, Queued, forecast
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState


def cards(count: int, host: str = "h") -> list[Device]:
    return [Device(uuid=str(n), host=host) for n in range(count)]


def held(number: int, ends_in: float | None, team: str | None = None) -> Holding:
    return Holding(device=("h", str(number)), state=LeaseState.ACTIVE, ends_in=ends_in, team=team)


def ask(name: str, place: int, estimate: float | None = None, **wants: object) -> Queued:
    return Queued(id=name, place=place, request=GpuRequest.of(**wants), estimate=estimate)


def test_it_follows_the_estimates_of_leases_and_of_those_ahead() -> None:
    queue = [ask("a", 1, 30.0), ask("b", 2, 40.0), ask("c", 3), ask("wide", 4, gpus=2)]
    starts = forecast(cards(2), [held(0, 10.0), held(1, 25.0)], queue)
    assert starts == {"a": 10.0, "b": 25.0, "c": 40.0, "wide": None}


def test_what_is_free_starts_now() -> None:
    assert forecast(cards(1), [], [ask("a", 1, 5.0), ask("b", 2)]) == {"a": 0.0, "b": 5.0}


def test_an_end_that_nobody_knows_gives_no_start() -> None:
    assert forecast(cards(1), [held(0, None)], [ask("a", 1)]) == {"a": None}
    assert forecast(cards(1), [held(0, -5.0)], [ask("a", 1)]) == {"a": None}
    ill = [Device(uuid="0", host="h", health=Health.UNHEALTHY)]
    assert forecast(ill, [], [ask("a", 1)]) == {"a": None}
    assert forecast([], [], [ask("a", 1)]) == {"a": None}


def test_a_quota_is_waited_for() -> None:
    quotas = [Quota(kind="team", name="t", ceiling=1)]
    holdings = [held(0, 70.0, team="t")]
    assert forecast(cards(2), holdings, [ask("a", 1, team="t")], quotas=quotas) == {"a": 70.0}


def test_the_time_until_a_reservation_counts() -> None:
    """The narrow one behind it may not fill in once the wide one has waited long enough."""
    wide = Queued(id="wide", place=1, request=GpuRequest(gpus=2), waiting=1000.0, estimate=10.0)
    narrow = ask("narrow", 2, 500.0)
    starts = forecast(cards(2), [held(0, 90.0)], [wide, narrow])
    assert starts == {"wide": 90.0, "narrow": 100.0}


def test_times_are_counted_from_now() -> None:
    assert forecast(cards(1), [held(0, 10.0)], [ask("a", 1)], now=5000.0) == {"a": 10.0}


def test_a_long_queue_costs_no_more_than_its_beginning() -> None:
    devices = [card for host in range(64) for card in cards(8, f"h{host}")]
    holdings = [
        Holding(device=d.key, state=LeaseState.ACTIVE, ends_in=60.0 + n)
        for n, d in enumerate(devices)
    ]
    queue = [ask(f"q{n}", n, 300.0, gpus=1 + n % 8) for n in range(3000)]
    start = time.process_time()
    starts = forecast(devices, holdings, queue)
    assert time.process_time() - start < 5.0
    assert len(starts) == 3000
    assert starts["q0"] == 60.0
    assert starts["q2999"] is None
