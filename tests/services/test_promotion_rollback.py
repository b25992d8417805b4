"""The way back: where to, what stands against it, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_ai_provider.core.errors import (
    ApprovalError,
    PromotionConflictError,
    PromotionError,
    RegistryNotFoundError,
)
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.promotion import check_aliases, holders
from airflow_ai_provider.store.promotion import Promotions
from tests.services.promotion_world import World

OVERRIDE = {"by": "ada", "reason": "the lesser evil"}


@pytest.fixture
def world(store):
    made = World(store)
    for version in ("1", "2", "3"):
        made.promote("dev", version)
    return made


def test_back_to_the_previous_and_the_one_before_that(world):
    done = world.roll_back("dev", reason="it fell")
    assert (done.version, done.previous) == ("2", "3")
    assert world.roll_back("dev").version == "1"
    assert world.registry.aliases("m") == {"dev": "1"}
    with pytest.raises(PromotionError, match="no previous version to go back to"):
        world.roll_back("dev")
    assert [i["version"] for i in holders("m", ledger=world.ledger).values()] == ["1"]
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []
    assert world.ledger.verify()[1] is None


def test_the_record_says_everything(world):
    record = world.roll_back("dev", reason="it fell", project="p").record
    assert (record.kind, record.subject, record.verdict) == ("rollback", "mlflow://m/2", "pass")
    said = {k: record.evidence[k] for k in ("from", "to", "target", "for_cause", "reason")}
    assert said == {
        "from": "3",
        "to": "2",
        "target": "previous",
        "for_cause": True,
        "reason": "it fell",
    }
    assert record.evidence["moved_by"] == "dag/run/back"
    assert record.evidence["why"] == "Back from version 3 to previous: it fell."


def test_tags_say_what_a_version_is_and_was(world):
    def tags():
        return {v.version: v.tags["airflow_ai.dev"] for v in world.registry.find_versions("m")}

    assert tags() == {"1": "past", "2": "past", "3": "live"}
    world.roll_back("dev", target="1")
    assert tags() == {"1": "live", "2": "past", "3": "rolled back"}


def test_back_to_a_named_version(world):
    assert world.roll_back("dev", target="1").version == "1"
    with pytest.raises(PromotionError, match="holds version 1 already"):
        world.roll_back("dev", target="1")


def test_a_version_rolled_back_for_cause_needs_an_override(world):
    world.roll_back("dev", target="1", reason="it fell")
    with pytest.raises(PromotionError, match="version 3 was rolled back for cause") as caught:
        world.roll_back("dev", target="3")
    assert caught.value.facts["failed"] == ["version 3 was rolled back for cause"]
    assert world.roll_back("dev", target="newest_good").version == "2"
    done = world.roll_back("dev", target="3", override=OVERRIDE)
    assert (done.record.verdict, done.record.decided_by) == ("override", "ada")
    assert done.record.evidence["override"] == OVERRIDE


def test_a_way_back_without_cause_blames_nobody(world):
    world.roll_back("dev", target="1", for_cause=False)
    assert world.roll_back("dev", target="newest_good").version == "3"


def test_a_version_that_was_never_there_needs_an_override(world):
    world.promote("test", "1")
    world.promote("test", "2")
    with pytest.raises(PromotionError, match="version 3 was never there"):
        world.roll_back("test", target="3")
    assert world.roll_back("test", target="3", override=OVERRIDE).version == "3"


def test_a_version_that_is_not_ready_needs_an_override(world):
    versions = world.registry._versions["m"]
    versions["2"] = replace(versions["2"], status="PENDING_REGISTRATION")
    with pytest.raises(PromotionError, match="PENDING_REGISTRATION, not READY"):
        world.roll_back("dev")
    assert world.roll_back("dev", target="newest_good").version == "1"


def test_a_deleted_version_is_refused_whoever_asks(world):
    world.registry.delete_version("m", "2")
    for override in (None, OVERRIDE):
        with pytest.raises(RegistryNotFoundError, match="version 2: it is deleted"):
            world.roll_back("dev", override=override)
    assert world.roll_back("dev", target="newest_good").version == "1"


def test_the_way_back_from_a_deleted_version_is_open(world):
    world.registry.delete_version("m", "3")
    assert world.registry.aliases("m") == {}
    done = world.roll_back("dev", reason="somebody deleted it", key="k")
    assert (done.version, done.previous) == ("2", "3")
    assert world.roll_back("dev", key="k") == done
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []


def test_an_alias_moved_by_hand_is_not_moved_over(world):
    world.registry.set_alias("m", "dev", "1")
    with pytest.raises(PromotionConflictError, match="names 1, not 3 as expected") as caught:
        world.roll_back("dev")
    assert caught.value.facts["winner"] == "somebody outside Airflow"
    assert world.ledger.get(caught.value.facts["alarm"]).subject == "mlflow://m@dev"
    done = world.roll_back("dev", target="3", expected="1", reason="who did that?")
    assert (done.version, done.previous) == ("3", "1")


def test_an_alias_taken_away_by_hand_is_not_set_again_unasked(world):
    world.registry.delete_alias("m", "dev")
    with pytest.raises(PromotionConflictError, match="names no version, not 3 as expected"):
        world.roll_back("dev")
    assert world.roll_back("dev", expected=None).version == "2"


def test_a_retry_finds_its_way_back_done(world):
    first = world.roll_back("dev", key="a")
    world.registry.calls.clear()
    assert world.roll_back("dev", key="a") == first
    assert "set_alias" not in world.registry.calls
    world.promote("dev", "3", override=OVERRIDE)
    with pytest.raises(PromotionConflictError, match="names 3, not 2"):
        world.roll_back("dev", key="a")


def test_an_approval_that_is_named_must_hold(world):
    with pytest.raises(ApprovalError, match="no decision or evidence_hash"):
        world.roll_back("dev", approval=world.approve())
    with pytest.raises(ApprovalError, match="sponsor answered no"):
        no = world.approve(verdict=Verdict.FAIL)
        world.roll_back("dev", approval=no, evidence_hash="e")
    done = world.roll_back("dev", approval=world.approve(), evidence_hash="e")
    assert done.record.decided_by == "sponsor"


def test_there_is_nothing_to_go_back_to_where_nothing_was(world):
    with pytest.raises(PromotionError, match="no previous version"):
        world.roll_back("production")
    with pytest.raises(PromotionError, match="no environment 'prod'"):
        world.roll_back("prod")


# --- promotion after a way back -----------------------------------------------------------------


def test_what_was_taken_back_needs_a_new_decision(world):
    world.walk("1")
    old = world.decide("3")
    world.promote("test", "3")
    world.roll_back("test", reason="it fell")
    with pytest.raises(PromotionError, match=r"was rolled back from test for cause .*: it fell"):
        world.promote("test", "3", decision=old)
    with pytest.raises(PromotionError, match="was rolled back from test for cause"):
        world.promote("staging", "3", decision=old)
    with pytest.raises(PromotionError, match="was rolled back from test for cause"):
        world.promote("test", "3")
    assert world.promote("test", "3", decision=world.decide("3")).version == "3"


def test_the_decision_holds_for_what_it_saw(world):
    """Two decisions on the same environment: the second to be carried out is refused."""
    world.walk("1")
    both = {version: world.decide(version) for version in ("2", "3")}
    for version in both:
        world.promote("test", version)
    world.promote("staging", "2", decision=both["2"], by="dag/run/two")
    with pytest.raises(PromotionConflictError, match="names 2, not 1 as expected") as caught:
        world.promote("staging", "3", decision=both["3"])
    assert caught.value.facts["winner"] == "dag/run/two"
    assert world.promote("staging", "3", decision=world.decide("3")).previous == "2"


def test_a_mover_taken_for_dead_does_not_move_after_all(world):
    """It slept between its claim and the alias; meanwhile another settled it and moved."""

    class Sleepy(Promotions):
        def renew(self, claim):
            others = Promotions(self.store, claim_limit=timedelta(seconds=-1))
            world.promotions, mine = others, world.promotions
            world.promote("dev", "1", key="quick", by="dag/run/quick")
            world.promotions = mine
            super().renew(claim)

    world.promotions = Sleepy(world.store)
    with pytest.raises(PromotionConflictError, match="was taken over meanwhile"):
        world.promote("dev", "2", key="sleepy")
    assert world.registry.aliases("m") == {"dev": "1"}
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []
