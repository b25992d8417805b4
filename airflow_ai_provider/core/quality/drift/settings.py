"""What to compare: columns, methods and limits, as a user says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import DriftSettingsError
from airflow_ai_provider.core.quality.drift.measures import (
    MEASURES,
    Kind,
    Limits,
    Measure,
    chosen_methods,
    measure_named,
    method_named,
    parse_limits,
)

_OWN = ("methods", "thresholds", "kind")


@dataclass(frozen=True, kw_only=True)
class ColumnSettings:
    """How one column is compared; ``methods`` None: those that suit its kind.

    ``own`` are the methods that were asked for this column by name.
    """

    methods: tuple[str, ...] | None = None
    own: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    kind: Kind | None = None

    def measures(self, column: str, kind: Kind, categories: int) -> list[tuple[Measure, Limits]]:
        """Return what to measure of a ``column`` of ``kind``, with the limits.

        :raises DriftSettingsError: a method that was asked for this column does not suit it.
        """
        for method in self.own:
            if kind not in MEASURES[method].kinds:
                raise DriftSettingsError(
                    f"The method {method} does not suit column {column}, a {kind.value}.",
                    remedy="Choose another, or leave methods out.",
                )
        limited = [MEASURES[name].method for name in self.limits]
        methods = self.methods or chosen_methods(kind, categories)
        wanted = {*methods, *(limited if self.methods is None else ())}
        return [
            (measure, self.limits.get(measure.name, measure.limits))
            for measure in MEASURES.values()
            if measure.method in wanted and kind in measure.kinds
        ]


@dataclass(frozen=True, kw_only=True)
class DriftSettings:
    """Which columns are compared, and how; ``columns`` None: all of the reference."""

    columns: tuple[str, ...] | None
    common: ColumnSettings
    special: Mapping[str, ColumnSettings]

    def of(self, column: str) -> ColumnSettings:
        """Return the settings of ``column``."""
        return self.special.get(column, self.common)


def parse_settings(
    columns: Any = None, methods: Any = None, thresholds: Any = None
) -> DriftSettings:
    """Return the settings that the arguments of a drift gate mean.

    ``columns``: names, or a mapping from a name to its own ``{"methods", "thresholds", "kind"}``.
    ``methods``: names of methods. ``thresholds``: from a measure to a number (then critical) or to
    a mapping from a severity to a number; what is given for a measure replaces its usual limits.

    :raises DriftSettingsError: one of them means nothing.
    """
    common = _column_settings(None, {"methods": methods, "thresholds": thresholds}, None)
    if columns is None:
        return DriftSettings(columns=None, common=common, special={})
    if isinstance(columns, str) or not isinstance(columns, (Mapping, Sequence)):
        raise DriftSettingsError(
            f"The columns are {columns!r}.", remedy="Give a list of names, or a mapping by name."
        )
    for name in columns:
        if not isinstance(name, str):
            raise DriftSettingsError(f"A column is called {name!r}.", remedy="Give names.")
    if not columns:
        raise DriftSettingsError("The list of columns is empty.", remedy="Name some, or give none.")
    special = {}
    if isinstance(columns, Mapping):
        special = {n: _column_settings(n, own or {}, common) for n, own in columns.items()}
    return DriftSettings(columns=tuple(columns), common=common, special=special)


def _column_settings(
    column: str | None, said: Any, common: ColumnSettings | None
) -> ColumnSettings:
    if not isinstance(said, Mapping) or set(said) - set(_OWN):
        raise DriftSettingsError(
            f"The settings of column {column} are {said!r}.",
            remedy=f"Give a mapping with {', '.join(_OWN)}.",
        )
    methods, thresholds = said.get("methods"), said.get("thresholds")
    if isinstance(methods, str):
        methods = [methods]
    if not isinstance(methods, (Sequence, type(None))):
        raise DriftSettingsError(f"The methods are {methods!r}.", remedy="Give a list of names.")
    if not isinstance(thresholds, (Mapping, type(None))):
        raise DriftSettingsError(
            f"The thresholds are {thresholds!r}.", remedy='Give a mapping as {"psi": 0.2}.'
        )
    named = tuple(method_named(name) for name in methods or ())
    limits = {measure_named(n).name: parse_limits(n, v) for n, v in (thresholds or {}).items()}
    return ColumnSettings(
        methods=named or (common.methods if common else None),
        own=named if common else (),
        limits={**(common.limits if common else {}), **limits},
        kind=_kind(column, said.get("kind")),
    )


def _kind(column: str | None, said: Any) -> Kind | None:
    if said is None:
        return None
    try:
        return Kind(said)
    except ValueError:
        raise DriftSettingsError(
            f"The kind of column {column} is {said!r}.", remedy="Use number, time or category."
        ) from None
