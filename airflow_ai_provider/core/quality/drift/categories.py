"""The values of a column of categories, counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

MOST = 100_000  # categories that are kept apart; the rest is one


@dataclass(frozen=True, kw_only=True)
class Categories:
    """How many rows each category has; the rest of them is known only as a sum, the tail."""

    counts: Mapping[str, int]
    tail_rows: int = 0
    tail_categories: int = 0

    @classmethod
    def of(
        cls, groups: Iterable[tuple[str, int]], *, among: Collection[str] = (), keep: int = MOST
    ) -> Categories:
        """Return what ``groups`` (the most frequent first) hold.

        All of ``among`` are kept, and of the others the first ``keep``.
        """
        counts: dict[str, int] = {}
        others = tail_rows = tail = 0
        for value, rows in groups:
            if value in among:
                counts[value] = rows
            elif others < keep:
                counts[value] = rows
                others += 1
            else:
                tail_rows += rows
                tail += 1
        return cls(counts=counts, tail_rows=tail_rows, tail_categories=tail)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(self.counts.values()) + self.tail_rows

    @property
    def different(self) -> int:
        """How many categories there are."""
        return len(self.counts) + self.tail_categories

    @property
    def exact(self) -> bool:
        """Whether every category is known."""
        return self.tail_categories == 0

    def cut(self, keep: int) -> Categories:
        """Return it with at most ``keep`` categories kept apart, the most frequent ones."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        rest = ordered[keep:]
        return Categories(
            counts=dict(ordered[:keep]),
            tail_rows=self.tail_rows + sum(rows for _, rows in rest),
            tail_categories=self.tail_categories + len(rest),
        )


def side_by_side(reference: Categories, now: Categories) -> tuple[list[int], list[int]]:
    """Return the counts of both over the same categories.

    Where the reference has a tail, whatever it does not list is one category on both sides.
    """
    names = list(reference.counts)
    if reference.exact:
        names += [name for name in now.counts if name not in reference.counts]
    mine = [reference.counts.get(name, 0) for name in names]
    theirs = [now.counts.get(name, 0) for name in names]
    rest = now.count - sum(theirs)
    if reference.tail_rows or rest:
        mine.append(reference.tail_rows)
        theirs.append(rest)
    return mine, theirs


def new_share(reference: Categories, now: Categories) -> float | None:
    """Return the share of rows whose category the reference does not list; None of no rows.

    An upper limit where the reference has a tail: what it does not list may be in there.
    """
    if not now.count:
        return None
    known = sum(rows for name, rows in now.counts.items() if name in reference.counts)
    return (now.count - known) / now.count
