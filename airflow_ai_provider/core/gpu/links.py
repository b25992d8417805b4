"""Which free cards of a host belong together: NVLink neighbours first, then the nearest on PCI."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

from airflow_ai_provider.core.gpu.devices import Device

Matrix = tuple[tuple[int, ...], ...]

_NVLINK = 64  # outweighs any difference in PCI distance
_NEAR = {"internal": 6, "single": 5, "multiple": 4, "hostbridge": 3, "node": 2, "system": 1}
_MOST_SETS = 128  # all sets of 8 cards are at most 70; beyond that each card seeds one set


def link_matrix(devices: Sequence[Device]) -> Matrix | None:
    """Return how well each two of ``devices`` are joined; None where nothing tells them apart."""
    if all(d.topology is None for d in devices):
        return None
    place = {d.uuid: number for number, d in enumerate(devices)}
    rows = [[0] * len(devices) for _ in devices]
    for a, device in enumerate(devices):
        if device.topology is None:
            continue
        for uuid in set(device.topology.nvlink):
            if (b := place.get(uuid)) is not None:
                rows[a][b] += _NVLINK
        for uuid, level in device.topology.near:
            if (b := place.get(uuid)) is not None:
                rows[a][b] += _NEAR.get(level, 0)
    # one card of a pair may know of a link that the other was not asked for
    sides = range(len(devices))
    joined = tuple(tuple(max(rows[a][b], rows[b][a]) for b in sides) for a in sides)
    alike = {joined[a][b] for a in sides for b in sides if a != b}
    return joined if len(alike) > 1 else None


@lru_cache(maxsize=4096)
def best_set(matrix: Matrix, free: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return ``count`` of the ``free`` cards: best joined, then leaving the rest best joined.

    The same few questions come again for each host of a kind, so the answers are kept.
    """
    if count >= len(free):
        return free
    if comb(len(free), count) <= _MOST_SETS:
        return max(combinations(free, count), key=lambda chosen: _worth(matrix, free, chosen))
    grown = [_grow(matrix, free, seed, count) for seed in free]
    return max(grown, key=lambda chosen: _worth(matrix, free, chosen))


def _worth(matrix: Matrix, free: tuple[int, ...], chosen: tuple[int, ...]) -> tuple[int, int]:
    inside = sum(matrix[a][b] for a, b in combinations(chosen, 2))
    to_all = sum(matrix[a][b] for a in chosen for b in free)
    return inside, 2 * inside - to_all  # the second is minus what is cut


def _grow(matrix: Matrix, free: tuple[int, ...], seed: int, count: int) -> tuple[int, ...]:
    chosen = [seed]
    while len(chosen) < count:
        left = [card for card in free if card not in chosen]
        chosen.append(max(left, key=lambda card: sum(matrix[card][other] for other in chosen)))
    return tuple(sorted(chosen))
