"""A model in use, measured whole: outcomes, opinions, agreement, exceptions, one beside another."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.feedback.page import TITLES, live_page
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.plugins.ui.draw import live_pictures
from airflow_ai_provider.services.feedback import FeedbackService, write_predictions
from airflow_ai_provider.services.feedback_page import model_page
from airflow_ai_provider.services.live_metrics import measure_live
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue

MOMENT = datetime(2026, 6, 10, tzinfo=timezone.utc)
ROWS = 200


def said(service: FeedbackService, **fields: Any) -> None:
    document = {"model_name": "m", "observed_at": MOMENT, "partition": "2026-06", **fields}
    service.records.write_batch([[row_of(parse(document))]], [], sources=["x"])


@pytest.fixture
def service(store: Store, tmp_path: Path) -> FeedbackService:
    found = FeedbackService(store)
    for version, low, high in (("9", 0.1, 0.6), ("10", 0.45, 0.55)):
        write_predictions(
            str(tmp_path / "log"),
            {
                "prediction_id": [f"p{n}" for n in range(ROWS)],
                "score": [high if n % 2 else low for n in range(ROWS)],
                "day": [f"2026-06-{1 + n % 20:02}" for n in range(ROWS)],
            },
            model_name="m",
            version=version,
            partition="2026-06",
        )
    rows = [
        row_of(
            parse(
                {
                    "feedback_id": f"o{n}",
                    "model_name": "m",
                    "prediction_id": f"p{n}",
                    "observed_at": MOMENT,
                    "label": n % 2,
                    "source_kind": "outcome",
                    "partition": "2026-06",
                }
            )
        )
        for n in range(ROWS - 50)
    ]
    found.records.write_batch([rows], [], sources=["x"])
    return found


def measured(service: FeedbackService, folder: Path) -> dict[str, Any]:
    found = measure_live(
        service, model_name="m", predictions=str(folder / "log"), partition="2026-06"
    )
    return dict(json.loads(json.dumps(found.to_dict())))


def test_all_of_it_is_measured_and_kept_as_a_series(
    service: FeedbackService, tmp_path: Path
) -> None:
    for number, (person, score, label) in enumerate(
        [("ann", 4, "a"), ("bob", 2, "a"), ("ann", 3, "b"), ("bob", 3, "a")]
    ):
        said(
            service,
            feedback_id=f"s{number}",
            prediction_id=f"q{number // 2}",
            model_version="10",
            score=score,
            label=label,
            attributes={"reviewer": person},
        )
    found = Finding(
        model_name="m",
        model_version="10",
        prediction_id="p1",
        partition="2026-06",
        reason=Reason.DISPUTED,
        urgency=1,
    )
    ExceptionQueue(service.store).add([found], Asking())
    told = measured(service, tmp_path)
    old, new = sorted(told["versions"], key=lambda v: int(v["version"]))
    assert (old["n"], old["coverage"], old["mos"], old["exception_rate"]) == (150, 0.75, None, 0)
    assert (new["answers"], new["mos"], new["exceptions"]) == (4, 3.0, 1)
    assert new["mos_low"] < 3 < new["mos_high"]
    assert new["exception_rate"] == 1 / ROWS
    assert told["agreement"]["units"] == told["agreement"]["raters"] == 2
    assert told["agreement"]["alpha"] == pytest.approx(0.0)
    (pair,) = [pair for pair in told["pairs"] if pair["metric"] == "log_loss"]
    assert (pair["version"], pair["other"], pair["n"]) == ("10", "9", 150)
    assert pair["low"] > 0
    assert pair["value"] == new["log_loss"]
    points = {(p["model_version"], p["metric"]): p for p in service.series.read("m")}
    assert points["10", "mos"]["n"] == 4
    assert points["10", "mos"]["low"] == pytest.approx(new["mos_low"], abs=1e-5)
    assert points["9", "exception_rate"]["value"] == 0
    assert points["9", "brier"]["value"] == pytest.approx(old["brier"], abs=1e-5)


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_window_of_days_is_measured_as_a_partition_is(
    service: FeedbackService, tmp_path: Path
) -> None:
    for number, day in enumerate((5, 10, 12)):
        moment = MOMENT.replace(day=day, hour=23)
        said(
            service, feedback_id=f"s{number}", model_version="9", score=day / 3, observed_at=moment
        )
    window = "2026-06-06/2026-06-10"
    found = measure_live(
        service, model_name="m", predictions=str(tmp_path / "log"), partition=window
    )
    old = next(version for version in found.versions if version.version == "9")
    assert (old.predictions, old.answers) == (ROWS // 4, 1)  # five days of twenty
    assert old.mos == pytest.approx(10 / 3)
    assert {pair.n for pair in found.pairs} == {old.n}
    assert {point["partition"] for point in service.series.read("m")} == {window}
    for name in ("2026-06", "a/b", "2026-06-06", "2026-06-06/", "20260606/20260607"):
        assert read_window(name) is None
    with pytest.raises(FeedbackError):
        read_window("2026-06-10/2026-06-06")


class Reader(HTMLParser):
    """What a page has, and what it would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "onload"}]


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_the_page_has_a_picture_of_each_figure_and_fetches_nothing(
    service: FeedbackService, tmp_path: Path
) -> None:
    said(service, feedback_id="s", model_version="10", score=5)
    measured(service, tmp_path)
    html = model_page(service.store, "m")
    reader = Reader()
    reader.feed(html)
    assert reader.tags.count("svg") == 10  # the legend, and each figure but agreement
    assert reader.tags.count("polyline") == 8 * 2 + 1  # of mos there is one
    assert reader.fetched == []
    assert "version 10, 2026-06: 5, n = 1" in html
    assert "No prediction of it ever went to people" in html
    assert "Nothing was measured" in model_page(service.store, "none")


def test_the_pictures_of_a_page_are_small_and_say_the_newest() -> None:
    points = [
        {"model_version": str(version), "partition": f"20{month:02}-{month:02}", "slice": "",
         "metric": metric, "value": 0.123456 * month + version, "low": 0.1, "high": 9.9, "n": 12345}
        for metric in (*TITLES, "of our own")
        for version in range(1, 11)
        for month in range(1, 61)
    ]  # fmt: skip
    found = live_pictures(points)
    assert [picture["title"] for picture in found] == [*TITLES.values(), "of our own"]
    assert sum(len(picture["drawn"]) for picture in found) < 100_000
    assert {p["newest"]["model_version"] for p in found} == {"10"}
    for picture in found:
        assert picture["newest"]["partition"] == "2060-60"
        assert "version 10, 2060-60: 17.41" in picture["drawn"]
        assert picture["drawn"].count("<polyline") == 8
        assert picture["drawn"].count("<circle") == 16


def test_what_names_say_is_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    point = {
        "model_version": evil, "partition": evil, "slice": "", "metric": "gap",
        "value": 0.1, "low": None, "high": None, "n": 1,
    }  # fmt: skip
    queue = {"open": 3, "answered": 1, "expired": 0, "withdrawn": 0, "oldest_s": 7200.0}
    html = live_page(evil, [point], queue)
    reader = Reader()
    reader.feed(html)
    assert "script" not in reader.tags
    assert "3 predictions wait for people, the oldest for 2.0 h" in html
