"""Counting personal data in one column's values; what is kept of them is counts and masks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from airflow_ai_provider.core.quality.personal.kinds import (
    KINDS,
    Form,
    PersonalKind,
)

SAMPLES = 3
_KEPT = 2  # characters at the end of a long value that a mask shows
_LONG = 12


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Personal data of one kind in one column: in how many rows, and what it looks like."""

    column: str
    kind: str
    title: str
    count: int
    samples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "column": self.column,
            "kind": self.kind,
            "count": self.count,
            "samples": list(self.samples),
        }

    def sentence(self) -> str:
        """Say it: ``12 e-mail addresses in contact``."""
        return f"{self.count} {self.title} in {self.column}"


@dataclass(kw_only=True)
class _Count:
    kind: PersonalKind
    form: Form
    named: bool
    seen: int = 0  # different candidates
    valid: int = 0
    rows: int = 0
    samples: list[str] = field(default_factory=list)

    @property
    def believed(self) -> bool:
        """Whether chance does not explain what was found."""
        if not self.valid:
            return False
        return self.named or tail(self.valid, self.seen, self.form.chance) <= self.form.proof


class Tally:
    """One column's values, counted by kind."""

    def __init__(
        self, column: str, *, kinds: Sequence[PersonalKind] = KINDS, numbers: bool = False
    ) -> None:
        self.column = column
        self._counts: list[_Count] = []
        for kind in kinds:
            if numbers and not kind.numbers:
                continue
            named = kind.named_in(column)
            forms = kind.forms
            if named and kind.named_form:
                forms = (*forms, kind.named_form)
            self._counts += [_Count(kind=kind, form=form, named=named) for form in forms]

    @property
    def wanted(self) -> bool:
        """Whether any kind could be in such a column."""
        return bool(self._counts)

    def add(self, value: str, rows: int = 1) -> None:
        """Count ``value``, which stands in so many rows; each kind once."""
        told: set[str] = set()
        for count in self._counts:
            found = [m.group().strip() for m in count.form.pattern.finditer(value)]
            if not found:
                continue
            count.seen += len(found)
            valid = [one for one in found if count.form.valid(one)]
            count.valid += len(valid)
            if valid and count.kind.name not in told:
                told.add(count.kind.name)
                count.rows += rows
                shown = mask(valid[0], count.kind)
                if len(count.samples) < SAMPLES and shown not in count.samples:
                    count.samples.append(shown)

    def findings(self) -> list[Finding]:
        """Return what the column holds, kind by kind."""
        found: dict[str, Finding] = {}
        for count in self._counts:
            if not count.believed:
                continue
            kind = count.kind
            before = found.get(kind.name)
            samples = [*(before.samples if before else ()), *count.samples]
            found[kind.name] = Finding(
                column=self.column,
                kind=kind.name,
                title=kind.title,
                count=count.rows + (before.count if before else 0),
                samples=tuple(samples[:SAMPLES]),
            )
        return [finding for finding in found.values() if finding.count]


def look_at(
    column: str, values: Sequence[Any], *, kinds: Sequence[PersonalKind] = KINDS
) -> list[Finding]:
    """Return the personal data among present ``values``, each counted as a row."""
    days = [v for v in values if isinstance(v, date)]
    if days:
        return [born(column, kind, len(days)) for kind in kinds if kind.dated(column)]
    numbers = all(isinstance(v, (int, float, Decimal)) for v in values)
    tally = Tally(column, kinds=kinds, numbers=numbers)
    for value, rows in Counter(_text(v) for v in values).items():
        tally.add(value, rows)
    return tally.findings()


def _text(value: Any) -> str:
    whole = isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value)
    return str(int(value)) if whole else str(value)


def born(column: str, kind: PersonalKind, rows: int) -> Finding:
    """Return the finding that a column of days is named for ``kind``, the days of births."""
    return Finding(
        column=column, kind=kind.name, title=kind.title, count=rows, samples=("####-##-##",)
    )


def mask(value: str, kind: PersonalKind) -> str:
    """Return what ``value`` looks like, and not what it is.

    Letters are x and digits #; of a long one the last two stay. Of an e-mail address stays where
    it ends.
    """
    if kind.name == "email":
        return f"***@***.{value.rpartition('.')[2].lower()}"
    letters = [i for i, c in enumerate(value) if c.isalnum()]
    kept = set(letters[-_KEPT:]) if len(letters) >= _LONG else set()
    return "".join(
        c if i in kept or not c.isalnum() else ("#" if c.isdigit() else "x")
        for i, c in enumerate(value)
    )


def tail(valid: int, seen: int, chance: float) -> float:
    """Return how likely chance alone makes ``valid`` or more of ``seen`` pass a check."""
    if chance <= 0 or valid <= seen * chance:
        return 0.0 if chance <= 0 else 1.0
    total = 0.0
    for k in range(valid, seen + 1):
        log = (
            math.lgamma(seen + 1)
            - math.lgamma(k + 1)
            - math.lgamma(seen - k + 1)
            + k * math.log(chance)
            + (seen - k) * math.log1p(-chance)
        )
        term = math.exp(log)
        total += term
        if term < total * 1e-12:  # beyond the mean the terms only fall
            break
    return min(1.0, total)
