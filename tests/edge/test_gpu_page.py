"""The page about a ticket and its lease."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from airflow_ai_provider.links.gpu import page_of
from airflow_ai_provider.plugins.gpu import render
from airflow_ai_provider.store.gpu_lookup import LeaseView, TicketStory

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
WAITING = TicketStory(
    id="t", holder="d/r/train#1", state="pending", reason="devices_busy",
    spec={"gpus": 2, "gpu_pool": "<b>"}, priority=7, enqueued_at=NOW, finished_at=None, ahead=3,
    lease=None,
)  # fmt: skip
HELD = LeaseView(
    id="l", fence=9, state="active", host="box", devices=("GPU-1", "GPU-2"), since=NOW, until=None,
    expires_at=NOW, reason="",
)  # fmt: skip


def test_who_waits_sees_why_and_how_many_are_before_it() -> None:
    page = render(WAITING)
    assert "d/r/train#1" in page
    assert "3 waiting requests" in page
    assert "Too few devices" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert 'http-equiv="refresh"' in page


def test_who_holds_sees_what_and_where() -> None:
    page = render(replace(WAITING, state="leased", reason="", ahead=None, lease=HELD))
    for said in ("GPU-1, GPU-2", "box", "active", "2026-01-02 03:04:05"):
        assert said in page
    assert 'http-equiv="refresh"' in page


def test_what_is_over_is_not_loaded_anew() -> None:
    ended = replace(HELD, state="released", until=NOW, expires_at=None, reason="released")
    page = render(replace(WAITING, state="done", ahead=None, finished_at=NOW, lease=ended))
    assert 'http-equiv="refresh"' not in page
    assert 'http-equiv="refresh"' not in render(replace(WAITING, state="refused", ahead=None))
    suspect = replace(WAITING, state="done", ahead=None, lease=replace(HELD, state="suspect"))
    assert 'http-equiv="refresh"' in render(suspect)


def test_the_address_is_that_of_airflows_own_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.org/airflow")
    assert page_of("abc") == "https://example.org/airflow/airflow-ai/gpu/lease/abc"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "/")
    assert page_of("abc") == "/airflow-ai/gpu/lease/abc"
