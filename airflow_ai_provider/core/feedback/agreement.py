"""How far people agree: Krippendorff's alpha, for any number of people and missing answers.

1 is perfect agreement, 0 is what chance brings about, below 0 they contradict each other. Source:
K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), whose example the tests run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Distance = Callable[[Any, Any, Mapping[Any, float]], float]  # squared; of values that differ


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """``alpha`` over the ``units`` that at least two of ``raters`` people answered; None: unknown.

    It is unknown when nothing was answered twice, or everybody always said the same one thing.
    """

    alpha: float | None
    measure: str
    units: int
    raters: int


def agreement(answers: Iterable[tuple[Hashable, str, Any]], *, measure: str) -> Agreement:
    """Return the agreement of (unit, person, answer); a person's last answer to a unit counts.

    ``measure`` is ``nominal`` (names: they are the same or not), ``ordinal`` (ranks) or
    ``interval`` (numbers).
    """
    said: dict[Hashable, dict[str, Any]] = {}
    for unit, person, answer in answers:
        said.setdefault(unit, {})[person] = answer
    paired = [people for people in said.values() if len(people) > 1]
    raters = {person for people in paired for person in people}
    return Agreement(
        alpha=krippendorff_alpha([list(people.values()) for people in paired], measure),
        measure=measure,
        units=len(paired),
        raters=len(raters),
    )


def krippendorff_alpha(units: Iterable[list[Any]], measure: str) -> float | None:
    """Return alpha of the answers to each unit; None when it is not defined."""
    together: Counter[tuple[Any, Any]] = Counter()
    for answers in units:
        counts, size = Counter(answers), len(answers)
        if size < 2:
            continue
        for one, number in counts.items():
            for other, times in counts.items():
                together[one, other] += number * (times - (one == other)) / (size - 1)
    margins: dict[Any, float] = {}
    for (one, _), weight in together.items():
        margins[one] = margins.get(one, 0.0) + weight
    distance, whole = _DISTANCES[measure], sum(margins.values())
    observed = sum(
        weight * distance(one, other, margins)
        for (one, other), weight in together.items()
        if one != other
    )
    expected = sum(
        margins[one] * margins[other] * distance(one, other, margins)
        for one in margins
        for other in margins
        if one != other
    )
    return None if expected == 0 else 1 - (whole - 1) * observed / expected


def _nominal(_one: Any, _other: Any, _margins: Mapping[Any, float]) -> float:
    return 1.0


def _interval(one: Any, other: Any, _margins: Mapping[Any, float]) -> float:
    return float((one - other) ** 2)


def _ordinal(one: Any, other: Any, margins: Mapping[Any, float]) -> float:
    low, high = min(one, other), max(one, other)
    between = sum(weight for value, weight in margins.items() if low <= value <= high)
    return float((between - (margins[low] + margins[high]) / 2) ** 2)


_DISTANCES: dict[str, Distance] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}
