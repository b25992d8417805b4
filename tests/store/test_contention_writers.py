"""Several processes at once write to one store: each thing is there once and whole."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError, StoreUnavailableError
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.promotion import Claim, Promotions
from tests.store.processes import together
from tests.store.test_server import end_backends


def test_writers_of_the_ledger_make_one_chain(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        ledger = Ledger(Store.open(url))
        barrier.wait()
        for turn in range(10):
            draft = GateDraft(kind=GateKind.DATA, subject=f"{number}", verdict=Verdict.PASS)
            ledger.append(draft, key=f"shared {turn}" if turn % 2 else None)

    together(work, 5)
    assert Ledger(Store.open(url)).verify() == (5 * 5 + 5, None)


def test_one_of_many_promoters_moves_a_model(url: str, tmp_path: Path) -> None:
    def work(number: int, barrier: Any) -> None:
        promotions = Promotions(Store.open(url))
        claim = Claim(model_name="m", key=f"k{number}", by=f"p{number}", move={"version": "1"})
        draft = GateDraft(kind=GateKind.PROMOTION, subject="m", verdict=Verdict.PASS)
        barrier.wait()
        moved = False
        while not moved:
            with suppress(PromotionConflictError):
                promotions.claim(claim)
                moved = True
        with (tmp_path / "moving").open("x"):  # fails when another moves just now
            time.sleep(0.005)
        (tmp_path / "moving").unlink()
        promotions.complete(claim, draft)

    together(work, 5)
    assert Ledger(Store.open(url)).verify() == (5, None)


def test_a_project_that_many_see_first_is_one(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        projects = Projects(Store.open(url))
        barrier.wait()
        for turn in range(5):
            projects.note(
                name="p",
                title=None,
                owner=f"o{number}",
                path="x",
                digest=str(turn),
                plan={},
                text=f"turn: {turn}",
            )

    together(work, 5)
    (found,) = Projects(Store.open(url)).all()
    assert (found.digest, found.phase) == ("4", "discovery")
    versions = Projects(Store.open(url)).versions("p")
    assert sorted(version.text for version in versions) == [f"turn: {n}" for n in range(5)]


def test_feedback_that_many_bring_at_once_is_stored_once(url: str) -> None:
    def work(number: int, barrier: Any) -> None:
        feedback = FeedbackStore(Store.open(url))
        chance = random.Random(number)
        barrier.wait()
        for _ in range(4):
            rows = [row_of(feedback_record(n)) for n in range(50)]
            chance.shuffle(rows)  # in whatever order: nobody waits crosswise
            found = feedback.write_batch([rows], [], sources=["x"])
            assert found.stored + found.duplicates == 50

    together(work, 4)
    totals = FeedbackStore(Store.open(url)).totals()
    assert (totals["stored"], totals["revised"], totals["read"]) == (50, 0, 4 * 4 * 50)
    assert totals["duplicates"] == 4 * 4 * 50 - 50


def test_a_batch_whose_connection_dies_is_not_there_and_may_be_brought_again(server: str) -> None:
    feedback = FeedbackStore(Store.open(server))

    def pieces() -> Iterator[list[Any]]:
        yield [row_of(feedback_record(n)) for n in range(10)]
        end_backends(server)
        yield [row_of(feedback_record(n)) for n in range(10, 20)]

    with pytest.raises(StoreUnavailableError):
        feedback.write_batch(pieces(), [], sources=["x"])
    assert feedback.totals()["batches"] == 0
    rows = [row_of(feedback_record(n)) for n in range(20)]
    assert feedback.write_batch([rows], [], sources=["x"]).stored == 20


def feedback_record(number: int) -> FeedbackRecord:
    return FeedbackRecord(
        feedback_id=f"f{number}",
        model_name="m",
        observed_at=datetime(2013, 4, 1, tzinfo=timezone.utc),
        label=1,
    )
