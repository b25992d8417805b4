"""The sponsor's report: one page that loads nothing, whatever a project file or a gate says."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.lifecycle.page.html import report_html
from airflow_ai_provider.core.lifecycle.page.markdown import report_markdown
from airflow_ai_provider.core.lifecycle.page.trend import figure, trend
from airflow_ai_provider.services.project_view import Given, project
from airflow_ai_provider.testing import memory_store
from tests.services.project_scene import HOSTILE, NAME, lived

TODAY = date(2026, 3, 2)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "p", "h1", "h2", "h3", "div", "span", "ol",
    "li", "b", "section", "table", "tr", "th", "td", "details", "summary", "ul", "code", "figure",
    "svg", "rect", "line", "text", "circle", "polyline", "br",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "class", "scope", "viewbox", "role",
    "aria-label", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "width", "height",
    "text-anchor", "points", "tabindex",
}  # fmt: skip


class Page(HTMLParser):
    """Collects tags, attributes and words; refuses what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    store = memory_store()
    lived(store)
    given = Given(fired={"season": "It fired."}, spent={"pilot": "EUR 3,000"})
    found = project(store, NAME, today=date.today(), given=given)  # noqa: DTZ011
    store.close()
    return found


def replaced(value: Any, words: str) -> Any:
    """Return ``value`` with every text in it replaced, but for dates."""
    if isinstance(value, dict):
        return {key: replaced(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, words) for inner in value]
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        return words
    return value


def test_the_page_says_what_there_is_to_say(seen: dict[str, Any]) -> None:
    page = Page(report_html(seen))
    words = " ".join(page.words)
    for said in (
        "Late arrivals out of New York", "Next decisions", "ranking_quality", "0.74 (met)",
        "not measured", "it took", "The ranking quality is 0.61", "production: version 1",
        "EUR 3,000", "4 (over)", "It fired.", "Answer the risk season", "expected end (50 %)",
    ):  # fmt: skip
        assert said in words, said
    assert {"svg", "rect", "details"} <= page.tags


@pytest.mark.parametrize("words", [HOSTILE, "'\"><svg onload=x>", "</style><script>", "\x00\ud800"])
def test_whatever_is_said_is_shown_as_text(seen: dict[str, Any], words: str) -> None:
    text = report_html(replaced(seen, words))
    page = Page(text)
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert "javascript:" not in " ".join(re.findall(r'(?:href|src)="[^"]*', text))
    assert text.count("<script") == 0


def test_the_page_needs_nothing_else(seen: dict[str, Any]) -> None:
    text = report_html(seen)
    assert not Page(text).attributes & {"src", "href", "style", "srcset", "data", "action"}
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert "prefers-color-scheme:dark" in text
    assert len(text.encode()) < 100_000


@settings(max_examples=30, deadline=None)
@given(words=st.text(max_size=30))
def test_markdown_has_nothing_to_act_on(seen: dict[str, Any], words: str) -> None:
    text = report_markdown(replaced(seen, f"{words}{HOSTILE}"))
    bare = re.sub(r"\\.", "", text)
    assert not re.search(r"[<>`\[\]]", bare)
    rows = [line for line in bare.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows}
    assert widths <= {4, 6, 7}  # the columns of its three tables


def test_an_empty_project_has_a_page(seen: dict[str, Any]) -> None:
    bare = {
        **seen,
        "gates": [], "kpis": [], "models": [], "resources": [], "risks": [], "decisions": [],
        "timeline": {**seen["timeline"], "milestones": [], "late": [], "p50": None, "p90": None,
                     "planned_finish": None},
    }  # fmt: skip
    words = " ".join(Page(report_html(bare)).words)
    assert "No gate has decided anything yet." in words
    assert "no plan" in words
    assert "## Gates" not in report_markdown(bare)


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)))
def test_a_trend_is_drawn_of_numbers_only(values: list[Any]) -> None:
    points = [{"at": "2026-01-01", "value": value, "met": None, "of": "<b>"} for value in values]
    drawn = trend(points)
    numbers = [v for v in values if isinstance(v, float)]
    assert drawn.count("<circle") == (min(len(numbers), 40) if len(numbers) > 1 else 0)
    assert "<b>" not in drawn
    assert all(figure(value) is not None for value in values)
