"""What can be measured of a column's drift, on which kinds of column, and the usual limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_ai_provider.core.errors import DriftSettingsError
from airflow_ai_provider.core.quality.suite import Severity

Limits = Mapping[Severity, float]


class Kind(str, Enum):
    """What the values of a column are to a comparison."""

    NUMBER = "number"
    TIME = "time"
    CATEGORY = "category"


_ORDERED = frozenset({Kind.NUMBER, Kind.TIME})
_ANY = frozenset(Kind)
_NAMED = frozenset({Kind.CATEGORY})


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure of drift; ``small`` says that it is the small values that mean drift."""

    name: str
    kinds: frozenset[Kind]
    limits: Limits
    small: bool = False

    @property
    def method(self) -> str:
        """The method that gives it: a p-value comes with its statistic."""
        return self.name.removesuffix("_p_value")

    def beyond(self, value: float, limit: float) -> bool:
        """Whether ``value`` is on the wrong side of ``limit``; the limit itself is not."""
        return value < limit if self.small else value > limit


def _limits(**said: float) -> Limits:
    return {Severity(name): limit for name, limit in said.items()}


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure(name="psi", kinds=_ANY, limits=_limits(warning=0.1, critical=0.25)),
        Measure(name="ks", kinds=_ORDERED, limits=_limits(warning=0.1, critical=0.2)),
        Measure(name="ks_p_value", kinds=_ORDERED, limits={}, small=True),
        Measure(name="jensen_shannon", kinds=_ANY, limits=_limits(warning=0.1, critical=0.2)),
        Measure(name="wasserstein", kinds=_ORDERED, limits={}),
        Measure(
            name="wasserstein_scaled", kinds=_ORDERED, limits=_limits(warning=0.1, critical=0.25)
        ),
        Measure(name="chi_squared", kinds=_NAMED, limits={}),
        Measure(
            name="chi_squared_p_value",
            kinds=_NAMED,
            limits=_limits(warning=0.01, critical=0.001),
            small=True,
        ),
        Measure(name="missing_rate", kinds=_ANY, limits=_limits(warning=0.02, critical=0.1)),
        Measure(
            name="new_category", kinds=_NAMED, limits=_limits(info=0, warning=0.01, critical=0.05)
        ),
    )
}
METHODS = tuple(dict.fromkeys(m.method for m in MEASURES.values()))

# Times move on by their nature, and names that hardly repeat are always new: neither is drift.
_CHOSEN: Mapping[Kind, tuple[str, ...]] = {
    Kind.NUMBER: ("psi", "ks", "missing_rate"),
    Kind.TIME: ("missing_rate",),
    Kind.CATEGORY: ("psi", "jensen_shannon", "new_category", "missing_rate"),
}
MANY_CATEGORIES = 1_000


def chosen_methods(kind: Kind, categories: int = 0) -> tuple[str, ...]:
    """Return the methods for a column of ``kind``, where none was asked for."""
    if kind is Kind.CATEGORY and categories > MANY_CATEGORIES:
        return ("missing_rate",)
    return _CHOSEN[kind]


def parse_limits(name: str, said: Any) -> Limits:
    """Return the limits that ``said`` means: a number is critical, else by severity.

    :raises DriftSettingsError: it is neither.
    """
    by_severity = said if isinstance(said, Mapping) else {"critical": said}
    found: dict[Severity, float] = {}
    for severity, given in by_severity.items():
        try:
            known = Severity(str(getattr(severity, "value", severity)).lower())
        except ValueError:
            raise DriftSettingsError(
                f"The threshold of {name} has the severity {severity!r}.",
                remedy="Use info, warning or critical.",
            ) from None
        limit = _number(name, given) if isinstance(given, str) else given  # from a template
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 0:
            raise DriftSettingsError(
                f"The threshold of {name} is {limit!r}.", remedy="Give a number from 0."
            )
        found[known] = float(limit)
    return found


def _number(name: str, written: str) -> float:
    try:
        return float(written)
    except ValueError:
        raise DriftSettingsError(
            f"The threshold of {name} is {written!r}.", remedy="Give a number from 0."
        ) from None


def measure_named(name: Any) -> Measure:
    """Return the measure ``name``.

    :raises DriftSettingsError: there is none.
    """
    if name not in MEASURES:
        raise DriftSettingsError(
            f"There is no drift measure {name!r}.", remedy=f"Use one of {', '.join(MEASURES)}."
        )
    return MEASURES[name]


def method_named(name: Any) -> str:
    """Return the method ``name``.

    :raises DriftSettingsError: there is none.
    """
    if name not in METHODS:
        raise DriftSettingsError(
            f"There is no drift method {name!r}.", remedy=f"Use one of {', '.join(METHODS)}."
        )
    return str(name)
