"""Comparing one column with its reference: every measure that was asked for, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.quality.drift.bins import Bins
from airflow_ai_provider.core.quality.drift.categories import (
    Categories,
    new_share,
    side_by_side,
)
from airflow_ai_provider.core.quality.drift.columns import ColumnValues
from airflow_ai_provider.core.quality.drift.distances import distances
from airflow_ai_provider.core.quality.drift.histogram import Histogram, histogram
from airflow_ai_provider.core.quality.drift.measures import Kind, Limits, Measure
from airflow_ai_provider.core.quality.drift.numbers import Sample, Sketch
from airflow_ai_provider.core.quality.drift.settings import ColumnSettings
from airflow_ai_provider.core.quality.drift.shares import (
    chi_squared,
    jensen_shannon,
    population_stability,
)
from airflow_ai_provider.core.quality.suite import Severity

NO_VALUES = "one side has no values"
TAIL = "categories that the reference does not list count as one"
_OF_TAIL = {"psi", "jensen_shannon", "chi_squared"}  # methods that see them as one


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure of one column's drift.

    ``value`` None: it could not be measured, for ``reason``; then it is beyond its strictest limit,
    since nothing passes that was not looked at. ``error``: by how much the value can be wrong
    because the reference is a profile; 0 means exact, but for what ``note`` says.
    """

    measure: Measure
    value: float | None
    limits: Limits
    error: float = 0.0
    reason: str | None = None
    note: str | None = None

    @property
    def severity(self) -> Severity | None:
        """The worst severity whose limit it is beyond; None when within all."""
        worst = sorted(self.limits, key=lambda severity: -severity.rank)
        if self.value is None:
            return worst[0] if worst else None
        beyond = (s for s in worst if self.measure.beyond(self.value, self.limits[s]))
        return next(beyond, None)

    @property
    def limit(self) -> float | None:
        """The limit it is beyond; else the nearest one; None where there is none."""
        if self.severity is not None:
            return self.limits[self.severity]
        choose = max if self.measure.small else min
        return choose(self.limits.values()) if self.limits else None

    def sentence(self) -> str:
        """Say what was seen."""
        if self.value is None:
            return f"{self.measure.name} could not be measured: {self.reason}."
        seen = f"{self.measure.name} is {self.value:.4g}"
        if self.error:
            seen += f" (within {self.error:.2g})"
        if self.note:
            seen += f" ({self.note})"
        if self.limit is None:
            return f"{seen}."
        side = "below" if self.measure.small else "above"
        return f"{seen}, {side if self.severity else 'not ' + side} {self.limit:g}."


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """How far one column is from its reference; ``problem``: why it could not be compared."""

    column: str
    kind: Kind | None = None
    measured: tuple[Measured, ...] = ()
    missing_reference: float | None = None
    missing_now: float | None = None
    problem: str | None = None
    histogram: Histogram | None = None

    @property
    def severity(self) -> Severity | None:
        """The worst of its figures; critical when it could not be compared at all."""
        if self.problem:
            return Severity.CRITICAL
        found = [m.severity for m in self.measured if m.severity is not None]
        return max(found, key=lambda severity: severity.rank, default=None)

    def sentences(self) -> list[str]:
        """Say what is beyond its limit, or why nothing could be compared."""
        if self.problem:
            return [f"{self.problem}."]
        return [m.sentence() for m in self.measured if m.severity is not None]


def compare_columns(
    reference: ColumnValues, now: ColumnValues, settings: ColumnSettings
) -> ColumnDrift:
    """Return how far ``now`` is from ``reference``; both are of the same kind.

    :raises DriftSettingsError: a method that was asked for this column does not suit it.
    """
    different = reference.values.different if isinstance(reference.values, Categories) else 0
    wanted = settings.measures(reference.name, reference.kind, different)
    figures = Figures(reference, now, {measure.method for measure, _ in wanted})
    measured = tuple(figures.measured(measure, limits) for measure, limits in wanted)
    found = ColumnDrift(
        column=reference.name,
        kind=reference.kind,
        measured=measured,
        missing_reference=reference.missing_rate,
        missing_now=now.missing_rate,
    )
    if found.severity is None:
        return found
    return ColumnDrift(**{**vars(found), "histogram": histogram(reference, now)})


class Figures:
    """The figures of one pair of columns, each computed once for all measures that need it."""

    def __init__(self, reference: ColumnValues, now: ColumnValues, methods: set[str]) -> None:
        self._found: dict[str, tuple[float | None, float]] = {}
        self._note: str | None = None
        self._missing(reference, now)
        old, new = reference.values, now.values
        if isinstance(old, Sample) and isinstance(new, Sketch):
            old = Sketch.of(old)  # its points are those at which the other side was counted
        if isinstance(old, Categories) and isinstance(new, Categories):
            share = new_share(old, new)
            self._put("new_category", share, 0.0 if old.exact else share or 0.0)
            self._note = None if old.exact else TAIL
            counted: tuple[Sequence[int] | Any, Any] = side_by_side(old, new)
        elif not (isinstance(old, Categories) or isinstance(new, Categories)):
            if methods & {"ks", "wasserstein", "wasserstein_scaled"}:
                self._distances(old, new)
            bins = Bins.of(old)
            counted = (bins.counts(old), bins.counts(new))
        else:
            raise TypeError(f"{reference.name}: a {reference.kind} beside a {now.kind}")
        self._shares(*counted, alike=not (old.count or new.count))

    def measured(self, measure: Measure, limits: Limits) -> Measured:
        """Return ``measure`` under ``limits``."""
        value, error = self._found[measure.name]
        return Measured(
            measure=measure,
            value=value,
            error=error,
            limits=limits,
            reason=NO_VALUES if value is None else None,
            note=self._note if measure.method in _OF_TAIL else None,
        )

    def _put(self, name: str, value: float | None, error: float = 0.0) -> None:
        self._found[name] = (value, error)

    def _missing(self, reference: ColumnValues, now: ColumnValues) -> None:
        old, new = reference.missing_rate, now.missing_rate
        self._put("missing_rate", None if old is None or new is None else abs(new - old))

    def _shares(self, mine: Any, theirs: Any, *, alike: bool) -> None:
        """Two sides without any value do not differ."""
        tested = chi_squared(mine, theirs)
        psi, js = population_stability(mine, theirs), jensen_shannon(mine, theirs)
        self._put("psi", 0.0 if alike else psi)
        self._put("jensen_shannon", 0.0 if alike else js)
        self._put("chi_squared", tested.statistic if tested else None)
        self._put("chi_squared_p_value", tested.p_value if tested else None)
        if alike:
            for name in ("chi_squared", "ks", "wasserstein", "wasserstein_scaled"):
                self._put(name, 0.0)
            for name in ("chi_squared_p_value", "ks_p_value"):
                self._put(name, 1.0)
            self._put("new_category", 0.0)

    def _distances(self, old: Sample | Sketch, new: Sample | Sketch) -> None:
        found = distances(old, new)
        if found is None:
            for name in ("ks", "ks_p_value", "wasserstein", "wasserstein_scaled"):
                self._put(name, None)
            return
        self._put("ks", found.ks, found.ks_error)
        self._put("ks_p_value", found.ks_p_value, found.ks_p_value_error)
        self._put("wasserstein", found.wasserstein, found.wasserstein_error)
        scale = old.deviation()
        if scale > 0:
            scaled, error = found.wasserstein / scale, found.wasserstein_error / scale
        else:  # a constant reference: any distance is without measure
            scaled, error = (float("inf") if found.wasserstein else 0.0), 0.0
        self._put("wasserstein_scaled", scaled, error)
