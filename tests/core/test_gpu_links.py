from __future__ import annotations

import random

import pytest

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Topology
from airflow_ai_provider.core.gpu.links import best_set, link_matrix
from airflow_ai_provider.core.gpu.planner import Holding, Queued, plan
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState


def cards(pairs: dict[int, list[int]], count: int = 8) -> list[Device]:
    """Cards of one host; the first half sits on one processor, the rest on the other."""
    found = []
    for card in range(count):
        near = tuple(
            (f"g{other}", "node" if (other < count / 2) == (card < count / 2) else "system")
            for other in range(count)
            if other != card
        )
        links = tuple(f"g{other}" for other in pairs.get(card, []))
        topology = Topology(bus=str(card), nvlink=links, near=near)
        found.append(Device(uuid=f"g{card}", host="h", kind=DeviceKind.GPU, topology=topology))
    return found


PAIRS = {0: [3], 3: [0], 1: [2], 2: [1], 4: [7], 7: [4], 5: [6], 6: [5]}


def granted(devices: list[Device], gpus: int, held: tuple[int, ...] = ()) -> set[int]:
    holdings = [Holding(device=("h", f"g{n}"), state=LeaseState.ACTIVE) for n in held]
    queue = [Queued(id="q", place=0, request=GpuRequest(gpus=gpus))]
    (grant,) = plan(devices, holdings, queue).grants
    return {int(name[1:]) for _, name in grant.devices}


def test_two_cards_are_nvlink_neighbours() -> None:
    assert granted(cards(PAIRS), 2) == {0, 3}
    assert granted(cards(PAIRS), 2, held=(0, 1)) == {4, 7}


def test_four_cards_are_two_pairs_of_one_processor() -> None:
    assert granted(cards(PAIRS), 4) == {0, 1, 2, 3}
    assert granted(cards(PAIRS), 4, held=(3,)) == {4, 5, 6, 7}


def test_one_card_breaks_no_pair_where_another_is_free() -> None:
    assert granted(cards(PAIRS), 1, held=(5,)) == {6}


def test_without_nvlink_the_nearest_on_pci_are_taken() -> None:
    assert granted(cards({}), 3, held=(0, 1)) == {4, 5, 6}
    assert granted(cards({}), 2, held=(0, 1, 4, 5, 6)) == {2, 3}


def test_a_link_counts_if_only_one_side_reports_it() -> None:
    one_sided = {0: [3]}
    assert granted(cards(one_sided), 2) == {0, 3}


def test_cards_that_nothing_tells_apart_are_taken_in_order() -> None:
    everyone = {n: [o for o in range(8) if o != n] for n in range(8)}
    flat = [
        Device(uuid=d.uuid, host="h", topology=Topology(nvlink=d.topology.nvlink))
        for d in cards(everyone)
        if d.topology is not None
    ]
    assert link_matrix(flat) is None
    assert link_matrix([Device(uuid="a", host="h"), Device(uuid="b", host="h")]) is None
    assert granted(flat, 3) == {0, 1, 2}


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13])
def test_sixteen_cards_cost_little_and_give_a_good_set(count: int) -> None:
    """Two groups of eight that are fully joined inside: a set of up to eight is of one group."""
    number = list(range(16))
    random.Random(3).shuffle(number)
    group = {card: place % 2 for place, card in enumerate(number)}
    matrix = tuple(
        tuple(0 if a == b else 64 if group[a] == group[b] else 1 for b in range(16))
        for a in range(16)
    )
    chosen = best_set(matrix, tuple(range(16)), count)
    assert len(set(chosen)) == count
    sides = sorted(sum(group[card] == side for card in chosen) for side in (0, 1))
    assert sides == ([0, count] if count <= 8 else [count - 8, 8])
