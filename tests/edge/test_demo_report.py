"""The table and the page tell the ledger as it is, and nothing in it can break out of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
    seal,
)
from airflow_ai_provider.demo.facts import Facts, LeaseUse, LiveMonth, Run, tenures
from airflow_ai_provider.demo.ledger import Gates, gate_name
from airflow_ai_provider.demo.people import Answer
from airflow_ai_provider.demo.reading import read_facts
from airflow_ai_provider.demo.report import page, write_report
from airflow_ai_provider.demo.svg import Bar, Point, Series, chart, lanes
from airflow_ai_provider.demo.table import gate_table
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import feedback_metric

EVIL = "<script>alert('&\"')</script>"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def record(
    kind: GateKind = GateKind.MODEL,
    verdict: Verdict = Verdict.FAIL,
    *,
    subject: str = "mlflow://flight_delays/2",
    sentence: str = "The gain is within the noise.",
    after: int = 0,
    **evidence: Any,
) -> GateRecord:
    criterion = Criterion(name="gain", limit=0.1, observed=0.05, verdict=verdict, sentence=sentence)
    draft = GateDraft(
        kind=kind,
        subject=subject,
        verdict=verdict,
        criteria=(criterion,),
        evidence=evidence,
        decided_by="somebody",
        origin=Origin(dag_id="production", run_id="run", task_id="judge", try_number=1),
    )
    return seal(
        draft,
        record_id=f"id{after}",
        created_at=NOW + timedelta(seconds=after),
        previous_hash="0" * 64,
    )


def test_a_place_is_told_of_moves_alone() -> None:
    measured = record(environment={"python": "3.11"}, data={"name": "flights/2013-04"})
    assert gate_name(measured) == "model mlflow://flight_delays/2 on flights/2013-04"
    assert gate_name(moved("2", "test", 0)) == "promotion mlflow://flight_delays/2 to test"


def moved(version: str, environment: str, after: int) -> GateRecord:
    return record(
        GateKind.PROMOTION,
        Verdict.PASS,
        subject=f"mlflow://flight_delays/{version}",
        after=after,
        environment=environment,
        why="It was better.",
    )


def facts(text: str = "fine") -> Facts:
    end = NOW + timedelta(seconds=30)
    return Facts(
        runs=[
            Run(dag_id=text, run_id=text, state="failed", began=NOW, ended=end, by_asset=True),
            Run(dag_id="p", run_id="r", state="success", began=NOW, ended=end, by_asset=False),
        ],
        records=[record(sentence=text, subject=f"mlflow://{text}"), moved("1", "production", 3)],
        leases=[
            LeaseUse(lease="a:1", device="cpu:0", task=text, state="active", began=NOW, ended=None)
        ],
        live=[
            LiveMonth(
                model="flight_delays",
                version=version,
                month=month,
                figures={
                    "gap": (0.05, 0.02, 0.08),
                    "observed": (0.3, None, None),
                    "predicted": (0.25, None, None),
                },
                n=100,
            )
            for version, month in [("1", "2013-04"), ("1", "2013-05"), (text, "2013-06")]
        ],
        answers=[
            Answer(
                user=text,
                dag_id="d",
                run_id="r",
                task_id="t",
                map_index=-1,
                options=[text],
                values={"field": text},
            )
        ],
    )


class Strict(HTMLParser):
    """Balanced tags, and every tag one that the page may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [str(value) for name, value in attrs if name in {"href", "src"}]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Strict:
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("text", ["fine", EVIL, "a]]>b", "\x1b[31m"])
def test_page_is_whole_loads_nothing_and_lets_nothing_break_out(text: str) -> None:
    found = parsed(page(facts(text)))
    assert found.links == []
    assert "script" not in found.seen
    assert {"svg", "polyline", "table", "details"} <= found.seen


def test_page_says_what_must_be_known() -> None:
    text = page(facts())
    assert "chosen with the whole year known" in text
    assert "typed by the demo&#x27;s people" in text
    assert "It was better." in text


def test_empty_life_still_makes_a_page() -> None:
    empty = Facts(runs=[], records=[], leases=[], live=[], answers=[])
    assert "No month was measured" in page(empty)
    parsed(page(empty))


def test_report_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(facts(), path)
    assert path.read_text().startswith("<!doctype html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_tenures_follow_one_another_by_environment() -> None:
    found = tenures(
        [moved("1", "test", 1), moved("1", "production", 2), moved("2", "production", 9), record()]
    )
    assert [(t.environment, t.version, t.until) for t in found] == [
        ("test", "1", None),
        ("production", "1", NOW + timedelta(seconds=9)),
        ("production", "2", None),
    ]


def test_table_has_phase_gate_verdict_and_why_within_the_width() -> None:
    lines = gate_table([record(sentence="Because. " * 40), moved("1", "production", 2)], width=100)
    assert lines[0].split() == ["phase", "gate", "verdict", "why"]
    assert lines[2].startswith("production  model mlflow://flight_delays/2")
    assert "fail" in lines[2]
    assert max(len(line) for line in lines) <= 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'airflow_ai.db'}")
    yield opened
    opened.close()


def test_facts_are_read_from_a_store_with_a_life_in_it(store: Store, tmp_path: Path) -> None:
    Ledger(store).append(GateDraft(kind=GateKind.DATA, subject="s", verdict=Verdict.PASS))
    point = {"model_name": "m", "model_version": "1", "partition": "2013-04", "slice": "", "n": 7}
    point = {**point, "computed_at": NOW}
    with store.write() as connection:
        rows = [
            {**point, "metric": "gap", "value": 0.1, "low": 0.0, "high": 0.2},
            {**point, "metric": "roc_auc", "value": None, "low": None, "high": None},
            {**point, "metric": "gap", "slice": "carrier=UA", "value": 9, "low": 9, "high": 9},
        ]
        connection.execute(feedback_metric.insert(), rows)
    runs = [
        {
            "dag_id": "d",
            "dag_run_id": "r",
            "state": "success",
            "start_date": "2026-01-02T03:04:05Z",
            "end_date": None,
            "run_type": "manual",
        },
        {"dag_id": "d", "dag_run_id": "q", "state": "queued", "start_date": None},
    ]
    found = read_facts(Gates(tmp_path / "airflow_ai.db"), runs, [])
    assert [run.run_id for run in found.runs] == ["r"]
    assert [(m.month, dict(m.figures), m.n) for m in found.live] == [
        ("2013-04", {"gap": (0.1, 0.0, 0.2)}, 7)
    ]
    assert len(found.records) == 1
    assert found.leases == []


def test_facts_of_a_life_without_a_store(tmp_path: Path) -> None:
    found = read_facts(Gates(tmp_path / "none.db"), [], [])
    assert (found.records, found.leases, found.live) == ([], [], [])


finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


@given(st.lists(st.tuples(finite, finite), max_size=12), st.floats(0, 1e5))
def test_any_lanes_are_sound_svg(spans: list[tuple[float, float]], seconds: float) -> None:
    bars = [
        Bar(began=min(span), ended=max(span), look="a", title=EVIL, label=EVIL) for span in spans
    ]
    ElementTree.fromstring(lanes([(EVIL, bars), ("empty", [])], seconds=seconds, title=EVIL))


@given(st.lists(finite, max_size=8))
def test_any_chart_is_sound_svg(values: list[float]) -> None:
    points = [
        Point(x=place, value=value, low=value - 1, high=value + 1, title=EVIL)
        for place, value in enumerate(values)
    ]
    drawn = chart(
        [Series(name=EVIL, look="look0", points=points)],
        places=[str(place) for place in range(len(values))],
        title=EVIL,
        unit="u",
        band=(-0.02, 0.02),
    )
    root = ElementTree.fromstring(drawn)
    for circle in root.iter("circle"):
        assert 0 <= float(circle.attrib["cy"]) <= 240
