"""What a picture of one failed expectation shows: a few figures, small enough to be kept.

A picture holds what is needed to draw it and nothing of the data beyond that. Those that show
values (``Bars``, and ``Shares`` of names) are as confidential as the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.drift.compare import ColumnDrift

LONGEST = 60  # characters of a value that is shown


def shown(value: Any, longest: int = LONGEST) -> str:
    """Return ``value`` as short text that can be kept and drawn anywhere.

    A value may hold what no database stores and no page shows: NUL, half a surrogate pair, marks
    that turn the direction of the writing.
    """
    words = value if isinstance(value, str) else str(value)
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words[:1000])
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Numbers (or times, in seconds since 1970) by bar, those that fail apart from the others.

    ``edges`` has one more than there are bars. ``below`` and ``above`` are the least and the
    greatest value where the outermost bar holds what lies beyond its edge too.
    """

    edges: tuple[float, ...]
    met: tuple[int, ...]
    failed: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    below: float | None = None
    above: float | None = None
    unit: str = "number"  # or time, length


@dataclass(frozen=True, kw_only=True)
class Bars:
    """The most frequent failing values: a label and how often; ``more`` others in ``rows`` rows.

    ``sampled``: they are of the sample of failing rows only, since no more was read.
    """

    bars: tuple[tuple[str, int], ...]
    more: int = 0
    rows: int = 0
    sampled: bool = False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a whole is made of: a label, how many, its look (``met``, ``missing``, ``failed``)."""

    parts: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One measured figure against its limits; ``unit`` stands behind each number."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names (of columns, of values): ``met``, ``missing`` where expected, ``failed`` where not."""

    names: tuple[tuple[str, str], ...]
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Shares by bar, the reference beside now; labels name the bars, or the edges between them."""

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    now: tuple[float, ...]
    left_out: int = 0


Picture = Histogram | Bars | Parts | Gauge | Names | Shares
_KINDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Histogram, Bars, Parts, Gauge, Names, Shares)
}


def as_json(picture: Picture) -> dict[str, Any]:
    """Return ``picture`` as it is kept."""
    return {"kind": type(picture).__name__.lower(), **asdict(picture)}


def from_json(kept: Mapping[str, Any] | None) -> Picture | None:
    """Return the picture that was kept; None where none was, or one of a later version."""
    kind = _KINDS.get(str(kept.get("kind"))) if kept else None
    if kind is None or kept is None:
        return None
    known = {f.name for f in fields(kind)}
    if not known >= set(kept) - {"kind"}:
        return None
    picture: Picture = kind(**{k: _tuples(v) for k, v in kept.items() if k != "kind"})
    return picture


def shares_of(drift: ColumnDrift) -> Shares | None:
    """Return the picture of one column's drift; None when neither side has a value."""
    found = drift.histogram
    if found is None:
        return None
    return Shares(
        labels=tuple(shown(label) for label in found.labels),
        reference=found.reference,
        now=found.now,
        left_out=found.left_out,
    )


def shows_values(picture: Picture) -> bool:
    """Whether values of rows can be read off ``picture``."""
    of_names = isinstance(picture, Shares) and len(picture.labels) == len(picture.now)
    return of_names or isinstance(picture, (Bars, Histogram))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
