"""The guarded row: one move at a time per model, and none is lost."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Claim, Promotions


def claim(key="k1", *, model="m", by="dag/run/one"):
    return Claim(
        model_name=model, key=key, by=by, move={"version": "2", "environment": "dev", "draft": {}}
    )


def draft():
    return GateDraft(kind=GateKind.PROMOTION, subject="mlflow://m/2", verdict=Verdict.PASS)


def test_the_same_key_takes_its_row_again(store):
    promotions = Promotions(store)
    assert promotions.claim(claim()) is False
    assert promotions.claim(claim()) is True


def test_another_is_told_who_moves_what(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    with pytest.raises(PromotionConflictError, match="dag/run/one is moving m right now") as caught:
        promotions.claim(claim("k2", by="dag/run/two"))
    assert caught.value.facts == {
        "in_progress": True,
        "winner": "dag/run/one",
        "version": "2",
        "environment": "dev",
    }


def test_models_do_not_wait_for_each_other(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    assert promotions.claim(claim("k2", model="other")) is False


def test_a_finished_move_frees_the_row_and_is_on_record(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    record = promotions.complete(claim(), draft())
    assert Ledger(store).find("k1") == record
    assert promotions.claim(claim("k2")) is False


def test_a_move_is_completed_once(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    record = promotions.complete(claim(), draft())
    assert promotions.complete(claim(), draft()) == record, "another try of the same task"
    with pytest.raises(PromotionConflictError, match="was taken over meanwhile"):
        promotions.complete(claim("k2"), draft())
    assert len(Ledger(store).search()) == 1


def test_a_claim_that_fell_is_not_renewed(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    promotions.renew(claim())
    promotions.release(claim())
    promotions.claim(claim("k2", by="dag/run/two"))
    with pytest.raises(PromotionConflictError, match="taken over meanwhile by dag/run/two"):
        promotions.renew(claim())


def test_a_released_row_is_free_and_nothing_is_on_record(store):
    promotions = Promotions(store)
    promotions.claim(claim())
    promotions.release(claim("k2"))  # not the holder: nothing happens
    with pytest.raises(PromotionConflictError):
        promotions.claim(claim("k2"))
    promotions.release(claim())
    assert promotions.claim(claim("k2")) is False
    assert Ledger(store).search() == []


def test_an_old_claim_is_abandoned_and_tells_its_move(store):
    assert Promotions(store).abandoned("m") is None
    Promotions(store).claim(claim())
    assert Promotions(store).abandoned("m") is None
    assert Promotions(store, claim_limit=timedelta(seconds=-1)).abandoned("m") == claim()


def test_of_many_at_once_one_takes_the_row(store):
    promotions = Promotions(store)
    start, won, lost = threading.Barrier(8), [], []

    def race(place):
        mine = claim(f"k{place}", by=f"p{place}")
        start.wait()
        try:
            promotions.claim(mine)
            won.append(mine.by)
        except PromotionConflictError as error:
            lost.append(error.facts["winner"])

    threads = [threading.Thread(target=race, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert lost == won * 7
