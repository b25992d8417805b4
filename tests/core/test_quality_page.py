"""The page about a decision: what is kept is small, and no value gets out of its place."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.quality.page.draw import draw
from airflow_ai_provider.core.quality.page.history import Decision, data_set_of, grouped, spark
from airflow_ai_provider.core.quality.page.known import known_picture
from airflow_ai_provider.core.quality.page.pictures import (
    Bars,
    Gauge,
    Histogram,
    Names,
    Parts,
    Picture,
    Shares,
    as_json,
    from_json,
    shown,
)
from airflow_ai_provider.core.quality.page.render import (
    Decided,
    history_html,
    overview_html,
    report_html,
)
from airflow_ai_provider.core.quality.page.statements import BARS, ends_of
from airflow_ai_provider.core.quality.page.values import (
    MOST_BYTES,
    Finding,
    ReportPage,
    as_kept,
    from_kept,
)

HOSTILE = "</style></svg><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
words = st.one_of(st.text(max_size=80), st.just(HOSTILE))
counts = st.integers(0, 10**9)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
looks = st.sampled_from(["met", "missing", "failed"])


@st.composite
def histograms(draw_: Any) -> Histogram:
    bars = draw_(st.integers(1, 40))
    low, width = draw_(st.floats(-1e6, 1e6)), draw_(st.floats(0.001, 1e6))
    some = st.lists(counts, min_size=bars, max_size=bars).map(tuple)
    limit = st.none() | st.floats(-1e7, 1e7)
    return Histogram(
        edges=tuple(low + width * i for i in range(bars + 1)),
        met=draw_(some), failed=draw_(some), low=draw_(limit), high=draw_(limit),
        below=draw_(limit), above=draw_(limit),
        unit=draw_(st.sampled_from(["number", "time", "length"])),
    )  # fmt: skip


def of_shares(n: int, edges: int) -> st.SearchStrategy[Shares]:
    some = st.lists(st.floats(0, 1), min_size=n, max_size=n).map(tuple)
    labels = st.lists(words.map(shown), min_size=n + edges, max_size=n + edges).map(tuple)
    return st.builds(Shares, labels=labels, reference=some, now=some, left_out=counts)


pictures: st.SearchStrategy[Picture] = st.one_of(
    histograms(),
    st.builds(
        Bars,
        bars=st.lists(st.tuples(words.map(shown), counts), max_size=12).map(tuple),
        more=counts, rows=counts, sampled=st.booleans(),
    ),
    st.builds(Parts, parts=st.lists(st.tuples(words.map(shown), counts, looks)).map(tuple)),
    st.builds(Gauge, value=numbers, low=st.none() | numbers, high=st.none() | numbers),
    st.builds(Names, names=st.lists(st.tuples(words.map(shown), looks)).map(tuple), more=counts),
    st.tuples(st.integers(1, 12), st.integers(0, 1)).flatmap(lambda n: of_shares(*n)),
)  # fmt: skip


class Tags(HTMLParser):
    """The tags of a page, the numbers that its shapes have, and whether it all fits together."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.loads: list[str] = []
        self.places: list[float] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.loads += [
            n for n, _ in attrs if n in {"src", "onerror", "onload", "style", "xlink:href"}
        ]
        for name, value in attrs:
            if name in {"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height"}:
                self.places.append(float(value or "nan"))
        if tag != "meta":  # which has no end
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == []
    assert not tags.seen & {"script", "img", "iframe", "link", "object", "foreignobject"}
    assert tags.loads == []
    assert all(math.isfinite(place) for place in tags.places)
    return tags


@given(what=pictures, title=words)
def test_any_picture_is_kept_and_drawn_whole(what: Picture, title: str) -> None:
    assert from_json(json.loads(json.dumps(as_json(what)))) == what
    assert "svg" in read(draw(what, title)).seen


def test_a_picture_of_a_later_version_is_no_picture() -> None:
    assert from_json(None) is None
    assert from_json({"kind": "hologram"}) is None
    assert from_json({**as_json(Gauge(value=1.0)), "depth": 3}) is None


findings = st.builds(
    Finding,
    label=words.map(shown), about=words.map(shown), sentence=words.map(shown),
    severity=st.sampled_from(["critical", "warning", "info"]),
    verdict=st.sampled_from(["pass", "warn", "fail"]),
    expected=words.map(shown), unexpected=st.none() | counts, percent=st.none() | st.floats(0, 100),
    samples=st.lists(words.map(shown), max_size=8).map(tuple), picture=st.none() | pictures,
)  # fmt: skip
pages = st.builds(
    ReportPage,
    title=words, subject=words, verdict=st.sampled_from(["pass", "warn", "fail"]),
    facts=st.lists(st.tuples(words, words), max_size=3).map(tuple),
    findings=st.lists(findings, max_size=4).map(tuple),
)  # fmt: skip


@given(page=pages)
def test_any_page_is_kept_whole_and_holds_nothing_but_ours(page: ReportPage) -> None:
    assert from_kept(json.loads(json.dumps(as_kept(page)))) == page
    read(report_html(page, decided=Decided(record="r", at="2026-01-02T03:04:05", by=HOSTILE)))


@given(left=st.text(max_size=200))
def test_what_is_shown_can_be_kept_anywhere(left: str) -> None:
    kept = shown(left + "\x00\ud800\u202e")
    kept.encode()
    assert kept.isprintable()
    assert len(kept) <= 60


@pytest.mark.parametrize("count", [300, 4_000])
def test_what_is_kept_is_small_whatever_the_suite(count: int) -> None:
    one = Finding(
        label="expect_column_values_to_be_in_set", verdict="fail", sentence="x" * 200,
        samples=("y" * 60,) * 8, picture=Bars(bars=(("z" * 60, 1),) * 12),
    )  # fmt: skip
    kept = as_kept(ReportPage(title="t", subject="s", verdict="fail", findings=(one,) * count))
    assert len(json.dumps(kept)) <= MOST_BYTES
    page = from_kept(kept)
    assert page is not None
    assert page.findings
    assert "left out" in page.notes[-1]


def test_a_report_of_another_version_is_not_guessed_at() -> None:
    kept = as_kept(ReportPage(title="t", subject="s", verdict="fail"))
    assert from_kept({**kept, "version": 99}) is None


@pytest.mark.parametrize(
    ("kind", "kwargs", "result", "expected"),
    [
        (
            "expect_column_values_to_not_be_null", {"column": "a"},
            {"element_count": 10, "unexpected_count": 3, "partial_unexpected_counts": []},
            Parts(parts=(("present", 7, "met"), ("missing", 3, "failed"))),
        ),
        (
            "expect_column_mean_to_be_between", {"column": "a", "max_value": 5},
            {"observed_value": 7.5}, Gauge(value=7.5, high=5.0),
        ),
        (
            "expect_table_row_count_to_equal", {"value": 5}, {"observed_value": 7},
            Gauge(value=7.0, low=5.0, high=5.0),
        ),
        (
            "expect_table_columns_to_match_set", {"column_set": ["a", "b"]},
            {"observed_value": ["a", "c"]},
            Names(names=(("b", "missing"), ("c", "failed"), ("a", "met"))),
        ),
        (
            "expect_column_values_to_be_in_set", {"column": "a", "value_set": [1]},
            {"element_count": 9, "unexpected_count": 3, "missing_count": 1,
             "partial_unexpected_counts": [{"value": "x", "count": 2}, {"value": "y", "count": 1}]},
            Bars(bars=(("x", 2), ("y", 1)), sampled=True),
        ),
        (
            "expect_column_quantile_values_to_be_between",
            {"column": "a",
             "quantile_ranges": {"quantiles": [0.1, 0.9], "value_ranges": [[0, 1], [2, None]]}},
            {"observed_value": {"quantiles": [0.1, 0.9], "values": [0.5, 1.5]}},
            Gauge(value=1.5, low=2.0),
        ),
        (
            "expect_column_values_to_be_of_type", {"column": "a", "type_": "int64"},
            {"observed_value": "str"}, Names(names=(("str", "failed"), ("int64", "missing"))),
        ),
        (
            "expect_table_to_hold_no_personal_data", {},
            {"observed_value": "4 e-mail addresses in mail", "unexpected_count": 6, "details": {
                "found": [{"column": "card", "kind": "payment_card", "count": 2},
                          {"column": "mail", "kind": "email", "count": 4}]}},
            Bars(bars=(("mail: email", 4), ("card: payment_card", 2))),
        ),
        (
            "expect_table_schema_to_match_reference", {"reference": "r"},
            {"observed_value": {"added": ["a"]}, "details": {
                "changed": {"added": ["a"], "removed": ["b"], "retyped": {"c": ["INT", "TEXT"]}}}},
            Names(names=(
                ("a (added)", "failed"), ("c (retyped)", "failed"), ("b (removed)", "missing"),
            )),
        ),
        (
            "expect_table_row_count_to_be_near_reference", {"min_ratio": 0.5, "reference": "r"},
            {"observed_value": 10, "details": {"expected": 100, "ratio": 0.1}},
            Gauge(value=0.1, low=0.5, unit="x"),
        ),
        (
            "expect_files_to_be_recent", {"max_age": "2h"},
            {"observed_value": "2026-01-01", "details": {"age_seconds": 9000.0}},
            Gauge(value=2.5, high=2.0, unit="h"),
        ),
        ("expect_column_to_exist", {"column": "a"}, {}, Names(names=(("a", "missing"),))),
    ],
)  # fmt: skip
def test_what_a_result_alone_can_show(
    kind: str, kwargs: dict[str, Any], result: dict[str, Any], expected: Picture
) -> None:
    assert known_picture(kind, kwargs, result) == expected


def test_without_values_only_counts_are_shown() -> None:
    result = {
        "element_count": 9, "unexpected_count": 3, "missing_count": 1,
        "partial_unexpected_counts": [{"value": "secret", "count": 2}],
    }  # fmt: skip
    found = known_picture(
        "expect_column_values_to_be_in_set", {"column": "a"}, result, values=False
    )
    assert found == Parts(
        parts=(("as expected", 5, "met"), ("missing", 1, "missing"), ("unexpected", 3, "failed"))
    )
    missing = {"unexpected_count": 1, "missing_count": 1, "partial_missing_list": ["secret"]}
    shown_ = known_picture("expect_column_distinct_values_to_equal_set", {}, missing, values=False)
    assert "secret" not in str(shown_)


@given(
    least=numbers, first=st.floats(0, 1e6), second=st.floats(0, 1e6), third=st.floats(0, 1e6),
    low=st.none() | numbers, high=st.none() | numbers, whole=st.booleans(),
)  # fmt: skip
def test_the_ends_hold_what_must_be_seen(
    least: float, first: float, second: float, third: float, low: float | None,
    high: float | None, whole: bool,
) -> None:  # fmt: skip
    q_low, q_high = least + first, least + first + second
    greatest = q_high + third
    found = ends_of([least, greatest, q_low, q_high, low, high], whole=whole)
    if found is None:
        return  # nearer each other than numbers of their size can be
    (left, right), bars = found
    assert left < right
    assert 1 <= bars <= BARS + 1
    assert left <= q_low
    assert q_high <= right
    if low is not None and least < low:
        assert left <= low <= right + 1
    if high is not None and greatest > high:
        assert left - 1 <= high <= right


def decision(record: str, subject: str, verdict: str = "pass", met: int = 3) -> Decision:
    return Decision(
        record=record, kind="data", subject=subject, verdict=verdict, at="2026-01-02T03:04:05",
        rows=7, met=met, count=4, task="d.gate",
    )  # fmt: skip


def test_decisions_are_listed_by_data_set() -> None:
    found = [
        decision("3", "ai-data://orders/2026-02", "fail", met=1),
        decision("2", "file:///x/y.csv"),
        decision("1", "ai-data://orders/2026-01"),
    ]
    assert list(grouped(found)) == ["ai-data://orders", "file:///x/y.csv"]
    assert data_set_of("ai-data://orders") == "ai-data://orders"
    page = overview_html(found)
    read(page)
    assert "./dataset?name=ai-data%3A%2F%2Forders" in page
    assert "./record/3" in page
    assert "./record/1" not in page  # not the newest of its data set
    assert "1 of 4" in page
    everything = history_html("ai-data://orders", [found[0], found[2]])
    read(everything)
    assert re.findall(r"record/(\d)", everything) == ["3", "1"]


def test_the_line_goes_up_with_the_score_and_to_the_right_with_time() -> None:
    newest_first = [decision("2", "s", met=4), decision("1", "s", "fail", met=1)]
    places = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', spark(newest_first))
    (old, x1, y1), (new, x2, y2) = places
    assert (old, new) == ("fail", "pass")
    assert float(x1) < float(x2)
    assert float(y1) > float(y2)
    assert spark([]) == ""


def test_a_list_of_hostile_names_is_a_list() -> None:
    read(overview_html([decision(HOSTILE, HOSTILE)]))
    read(history_html(HOSTILE, [decision(HOSTILE, HOSTILE)]))
