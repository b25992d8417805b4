"""The shapes that a model card's pictures are made of: SVG that loads nothing.

Each picture is a document of its own and follows the reader's light or dark; the same classes serve
when several stand in one page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_STYLE = (
    ".p-paper{fill:#fff}.p-text{fill:#5b6778}.p-name,.p-title{fill:#1b2430}.p-title{font-size:13px}.p-on{fill:#fff}"
    ".p-now{fill:#2f6fdb}.p-line{fill:none;stroke:#2f6fdb;stroke-width:2}"
    ".p-frame{fill:none;stroke:#d5dbe3}.p-even{fill:none;stroke:#98a2b3;stroke-dasharray:4 3}"
    ".p-before{fill:none;stroke:#c07a06;stroke-width:1.3}.p-bad{fill:#d9432f}"
    "@media(prefers-color-scheme:dark){.p-paper{fill:#1a2029}.p-text{fill:#93a1b5}"
    ".p-name,.p-title{fill:#e6eaf0}.p-on{fill:#12161c}.p-now{fill:#79a9ff}.p-line{stroke:#79a9ff}"
    ".p-frame{stroke:#37424f}.p-even{stroke:#6b7a8f}.p-before{stroke:#f0b04e}.p-bad{fill:#ff7a68}}"
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The part of a picture that numbers are drawn in."""

    left: float
    top: float
    width: float
    height: float

    def x(self, share: float) -> float:
        """Return how far to the right a share of the width is."""
        return self.left + share * self.width

    def y(self, share: float) -> float:
        """Return how far down a share of the height, counted from below, is."""
        return self.top + (1 - share) * self.height

    def drawn(self) -> str:
        """Return its outline."""
        return rect(self.left, self.top, self.width, self.height, "frame")


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """Return ``parts`` as a whole SVG document with a title."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" '
        f'font-size="11" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect class="p-paper" width="{width:.0f}" height="{height:.0f}" rx="6"/>'
        f"{text(14, 22, title, anchor='start', look='title')}{''.join(parts)}</svg>"
    )


def rect(
    x: float, y: float, width: float, height: float, look: str, *, title: str = "", share: float = 1
) -> str:
    """Return a rectangle; ``share`` is how strongly it is filled."""
    weak = f' fill-opacity="{share:.3f}"' if share < 1 else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect class="p-{look}" {place}{weak}>{_told(title)}</rect>'


def dot(x: float, y: float, *, title: str = "") -> str:
    """Return a point."""
    return f'<circle class="p-now" cx="{x:.1f}" cy="{y:.1f}" r="4">{_told(title)}</circle>'


def path(points: Iterable[tuple[float, float]], look: str) -> str:
    """Return a line through ``points``."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="p-{look}" points="{places}"/>'


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "middle",
    look: str = "text",
    turned: bool = False,
) -> str:
    """Return words; ``turned`` ones run upwards."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text class="p-{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>'
        f"{escape(words)}</text>"
    )


def cut(words: str, most: int) -> str:
    """Return ``words``, their middle left out when they are too long."""
    if len(words) <= most:
        return words
    return f"{words[: most // 2 - 1]}…{words[-(most // 2) :]}"


def _told(title: str) -> str:
    return f"<title>{escape(title)}</title>" if title else ""
