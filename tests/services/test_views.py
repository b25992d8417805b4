"""What the pages show: the right things, in few queries, from an empty store too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.promotion import history
from airflow_ai_provider.services.views.feedback import feedback_view, model_feedback_view
from airflow_ai_provider.services.views.gpu import gpu_view, held_by_step
from airflow_ai_provider.services.views.ledger import chain, exported, ledger_view, record_view
from airflow_ai_provider.services.views.models import model_view, models_view
from airflow_ai_provider.store import migrations
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import VERSION_TABLE
from airflow_ai_provider.store.model_places import ModelPlaces
from airflow_ai_provider.testing import fake_devices
from tests.services.promotion_world import World
from tests.statements import statements

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_an_empty_store_shows_nothing(store: Store) -> None:
    empty = gpu_view(store)
    assert (empty["hosts"], empty["queue"], empty["totals"]["devices"]) == ([], [], 0)
    assert {point["held"] for point in empty["use"]} == {0.0}
    assert models_view(store)["models"] == []
    assert feedback_view(store)["models"] == []
    assert feedback_view(store)["counts"]["stored"] == 0
    assert ledger_view(store)["records"] == []
    assert chain(store)["ok"] is True


def test_devices_queue_and_use(store: Store) -> None:
    gpu = GpuStore(store, Host(name="box", boot_id="b"))
    devices = fake_devices(2, host="box")
    for name in ("a", "b", "c"):
        ticket = Ticket(holder=name, request=GpuRequest(gpus=1), host="box")
        gpu.ask(ticket, process=Process(pid=ord(name), start=1, uid=0), devices=devices)
    shown = gpu_view(store)
    assert shown["totals"] == {"devices": 2, "held": 2, "healthy": 2}
    [host] = shown["hosts"]
    assert (host["name"], host["held"], len(host["devices"])) == ("box", 2, 2)
    assert shown["waiting"] == 1
    [waits] = shown["queue"]
    assert waits["task"] == "c"
    assert waits["says"].startswith("Too few devices")
    assert waits["asks"] == "gpus 1"
    assert len(shown["use"]) == 96


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 1440), st.integers(0, 1440), st.sampled_from([0.25, 1.0])),
        max_size=8,
    )
)
def test_use_adds_up(spans: list[tuple[int, int, float]]) -> None:
    held = [
        (START + timedelta(minutes=min(a, b)), START + timedelta(minutes=max(a, b)), part)
        for a, b, part in spans
    ]
    until, step = START + timedelta(days=1), timedelta(minutes=15)
    shown = held_by_step(held, since=START, until=until, step=step)
    total = sum(point["held"] for point in shown) * step.total_seconds()
    expected = sum((end - begin).total_seconds() * part for begin, end, part in held)
    assert total == pytest.approx(expected, abs=1.0)
    assert [point["at"] for point in shown[:2]] == [START, START + step]


def test_models_are_where_their_history_says(store: Store) -> None:
    world = World(store)
    world.walk("1")
    world.walk("2", until="staging")
    world.roll_back("staging", reason="slow")
    shown = models_view(store)
    [model] = shown["models"]
    held = {i["environment"]: i for i in history("m", ledger=world.ledger) if i["to"] is None}
    assert {env: place["version"] for env, place in model["places"].items()} == {
        env: interval["version"] for env, interval in held.items()
    }
    assert {env: place["record"] for env, place in model["places"].items()} == {
        env: interval["record"] for env, interval in held.items()
    }
    assert models_view(store, search="M")["models"][0]["name"] == "m"
    assert models_view(store, search="x%")["models"] == []
    one = model_view(store, "m")
    assert one is not None
    assert [step["environment"] for step in one["path"]] == shown["environments"]
    assert one["champion"] == "1"
    assert one["history"][0]["why"] == "Back from version 2 to previous: slow."
    assert {gate["kind"] for gate in one["gates"]} == {"model"}
    assert model_view(store, "none") is None


def test_a_way_back_to_nothing_leaves_the_place_empty(store: Store) -> None:
    world = World(store)
    world.promote("dev", "1")
    world.promote("dev", "2")
    world.roll_back("dev")
    assert models_view(store)["models"][0]["places"]["dev"]["version"] == "1"


def test_places_of_older_stores_are_told_from_their_ledger(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = Store.open(url)
    world = World(store)
    world.walk("1")
    world.walk("2", until="test")
    world.roll_back("test", reason="slow")
    before = ModelPlaces(store).of(["m"])
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._downgrade_revs("0009", revision)

    with store.write() as connection, EnvironmentContext(Config(), scripts, fn=steps) as older:
        older.configure(connection=connection, version_table=VERSION_TABLE)
        with Operations.context(older.get_context()):
            older.run_migrations()
    assert ModelPlaces(Store.open(url)).of(["m"]) == before


def test_a_model_whose_name_has_a_slash(store: Store) -> None:
    MetricSeries(store).write([point("team/m", "2026-01", 4.0)])
    shown = model_feedback_view(store, "team/m")
    assert shown is not None
    assert [p["value"] for p in shown["points"]] == [4.0]


def point(model: str, partition: str, value: float) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": "1",
        "partition": partition,
        "slice": "",
        "metric": "score",
        "value": value,
        "low": None,
        "high": None,
        "n": 3,
    }


def test_feedback_lists_what_was_measured(store: Store) -> None:
    MetricSeries(store).write([point(name, "2026-01", 1.0) for name in ("a", "b_", "bc")])
    assert [m["name"] for m in feedback_view(store)["models"]] == ["a", "b_", "bc"]
    assert [m["name"] for m in feedback_view(store, search="b_")["models"]] == ["b_"]
    assert model_feedback_view(store, "none") is None


def test_the_ledger_is_searched_and_exported(store: Store) -> None:
    ledger = Ledger(store)
    for number in range(60):
        kind = GateKind.DATA if number % 2 else GateKind.MODEL
        verdict = Verdict.PASS if number % 3 else Verdict.FAIL
        ledger.append(GateDraft(kind=kind, subject=f"x://{number}", verdict=verdict))
    first = ledger_view(store)
    assert [r["subject"] for r in first["records"][:2]] == ["x://59", "x://58"]
    assert first["page"] == {"number": 1, "more": True}
    second = ledger_view(store, page=2)
    assert [len(second["records"]), second["page"]["more"]] == [10, False]
    found = ledger_view(store, kind="data", verdict="fail", subject="x://5")["records"]
    assert [r["subject"] for r in found] == ["x://57", "x://51"]
    assert len(list(exported(store))) == 60
    assert chain(store)["message"] == "All 60 records are there, unchanged and in order."
    assert record_view(store, "none") is None
    shown = record_view(store, first["records"][0]["id"])
    assert shown is not None
    assert shown["evidence_text"] == "{}"


def test_a_page_makes_at_most_ten_queries(store: Store) -> None:
    world = World(store)
    world.walk("1")
    world.walk("2", until="staging")
    MetricSeries(store).write([point("m", f"2026-{n:02}", 1.0) for n in range(1, 13)])
    views: dict[str, Callable[[], Any]] = {
        "gpu": lambda: gpu_view(store),
        "models": lambda: models_view(store),
        "model": lambda: model_view(store, "m"),
        "feedback": lambda: feedback_view(store),
        "live": lambda: model_feedback_view(store, "m"),
        "ledger": lambda: ledger_view(store),
    }
    for name, view in views.items():
        with statements() as seen:
            view()
        assert 1 <= len(seen) <= 10, (name, seen)
