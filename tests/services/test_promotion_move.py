"""Moves between environments: the path, the words they rest on, conflicts, crashes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import (
    ApprovalError,
    EvidenceError,
    LedgerError,
    PromotionConflictError,
    PromotionError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.promotion import (
    check_aliases,
    history,
)
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import FakeRegistry
from tests.services.promotion_world import ENVIRONMENTS, World


class Killed(BaseException):
    """The process ends here."""


class DyingRegistry(FakeRegistry):
    """Dies at its n-th call: a move makes four, to read, read, set and read back."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.at = at

    def _asked(self, what: str) -> None:
        super()._asked(what)
        if self.at is not None and len(self.calls) == self.at:
            raise Killed


@pytest.fixture
def world(store):
    return World(store)


def test_a_version_walks_the_path(world):
    world.walk()
    assert world.registry.aliases("m") == dict.fromkeys(ENVIRONMENTS, "1")
    assert world.intervals() == [(environment, "1", True) for environment in ENVIRONMENTS]
    assert world.ledger.verify()[1] is None
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []


def test_the_next_version_ends_the_interval_of_the_one_before(world):
    world.walk("1")
    world.walk("2")
    done = history("m", ledger=world.ledger)
    assert [i["version"] for i in done if i["environment"] == "production"] == ["1", "2"]
    ended = next(i for i in done if i["environment"] == "production")
    started = done[-1]
    assert ended["to"] == started["from"]
    assert started["to"] is None


def test_the_record_says_everything(world):
    world.walk("1", until="staging")
    decision, approval = world.decide(), world.approve()
    done = world.promote("production", decision=decision, approval=approval)
    assert done.previous is None
    assert done.record.subject == "mlflow://m/1"
    assert done.record.verdict == "pass"
    assert done.record.decided_by == "sponsor"
    assert done.record.evidence == {
        "model_name": "m",
        "environment": "production",
        "from": None,
        "to": "1",
        "alias_before": None,
        "decision": decision,
        "approval": approval,
        "evidence_hash": "e",
        "override": None,
        "run_id": "run1",
        "moved_by": "dag/run/task",
        "project": None,
        "why": f"Version 1 came through staging. Model gate {decision} says pass. "
        f"sponsor approved ({approval}).",
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS[1:])
def test_no_step_is_skipped(world, environment):
    with pytest.raises(PromotionError, match=r"was never in \w+, which comes before"):
        world.promote(environment, decision=world.decide())
    assert world.registry.aliases("m") == {}


def test_another_versions_step_does_not_count(world):
    world.walk("1", until="test")
    with pytest.raises(PromotionError, match="Version 2 of m was never in test"):
        world.promote("staging", "2", decision=world.decide("2"))


def test_a_step_taken_counts_though_another_holds_it_now(world):
    world.walk("1", until="test")
    world.walk("2", until="test")
    world.promote("staging", "1", decision=world.decide("1"))
    assert world.registry.aliases("m")["staging"] == "1"


def test_an_override_is_on_record(world):
    done = world.promote("production", override={"by": "ada", "reason": "the old one is broken"})
    assert done.record.verdict == "override"
    assert done.record.decided_by == "ada"
    assert "Overridden by ada: the old one is broken." in done.record.evidence["why"]
    assert [c["verdict"] for c in done.record.criteria] == ["fail", "fail"]


@pytest.mark.parametrize("override", [{"by": "ada"}, {"reason": "x"}, {"by": "", "reason": "x"}])
def test_an_override_needs_who_and_why(world, override):
    with pytest.raises(PromotionError, match="needs who and why"):
        world.promote("production", override=override)


def test_an_override_that_was_not_needed_changes_nothing(world):
    done = world.promote("dev", override={"by": "ada", "reason": "x"})
    assert (done.record.verdict, done.record.decided_by) == ("pass", "promote")


def test_unknown_things_are_refused(world):
    with pytest.raises(PromotionError, match="no environment 'prod'"):
        world.promote("prod")
    with pytest.raises(RegistryNotFoundError, match="m 9"):
        world.promote("dev", "9")


def test_a_version_that_is_not_ready_is_refused(world):
    versions = world.registry._versions["m"]
    versions["1"] = replace(versions["1"], status="PENDING_REGISTRATION")
    with pytest.raises(RegistryError, match="PENDING_REGISTRATION, not READY"):
        world.promote("dev")


# --- the decision ------------------------------------------------------------------------------


def test_staging_needs_a_decision(world):
    world.walk(until="test")
    with pytest.raises(PromotionError, match="staging needs the passing decision of a model gate"):
        world.promote("staging")


def test_a_refusal_promotes_nothing(world):
    with pytest.raises(PromotionError, match="refused this version"):
        world.promote("dev", decision=world.decide(verdict=Verdict.FAIL))


def test_a_warning_lets_pass(world):
    world.promote("dev", decision=world.decide(verdict=Verdict.WARN))


def test_a_decision_on_the_run_is_one_on_its_version(world):
    world.promote("dev", decision=world.decide(subject="mlflow://m/runs/run1"))


@pytest.mark.parametrize(
    "subject", ["mlflow://m/2", "mlflow://m/runs/run2", "mlflow://other/1", "mlflow://m/runs/"]
)
def test_a_decision_on_something_else_is_none(world, subject):
    with pytest.raises(EvidenceError, match="not about version 1 of m"):
        world.promote("dev", decision=world.decide(subject=subject))


def test_a_record_that_is_no_decision(world):
    with pytest.raises(EvidenceError, match="no model record nowhere"):
        world.promote("dev", decision="nowhere")
    with pytest.raises(EvidenceError, match="of kind approval, not model"):
        world.promote("dev", decision=world.approve())


def test_evidence_that_changed_since_is_refused(world):
    with pytest.raises(EvidenceError, match="evidence changed since decision"):
        world.promote("dev", decision=world.decide(), evidence_hash="other")


def test_a_decision_that_was_tampered_with_is_refused(world):
    decision = world.decide(verdict=Verdict.FAIL)
    with world.store.write() as connection:
        connection.execute(
            sa.text("UPDATE gate_record SET verdict = 'pass' WHERE id = :id"), {"id": decision}
        )
    with pytest.raises(LedgerError, match="was changed after it was written"):
        world.promote("dev", decision=decision)


# --- the approval ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("approval", "reason"),
    [
        ({"verdict": Verdict.FAIL}, "sponsor answered no"),
        ({"by": ""}, "nobody gave it"),
        ({"by": "ml"}, "ml submitted what is approved"),
        ({"evidence_hash": "other"}, "given on other evidence"),
        ({"decision": "another"}, "given on decision another"),
    ],
)
def test_an_approval_that_does_not_hold(world, approval, reason):
    with pytest.raises(ApprovalError, match=reason):
        world.promote("dev", decision=world.decide(), approval=world.approve(**approval))
    assert world.registry.aliases("m") == {}


def test_an_approval_of_nothing_in_particular_does_not_hold(world):
    with pytest.raises(ApprovalError, match="no decision or evidence_hash to hold it to"):
        world.promote("dev", approval=world.approve())
    world.promote("dev", approval=world.approve(), evidence_hash="e")


def test_an_approval_that_is_not_there(world):
    with pytest.raises(ApprovalError, match="no approval record nowhere"):
        world.promote("dev", decision=world.decide(), approval="nowhere")


# --- conflicts ---------------------------------------------------------------------------------


def test_an_alias_moved_by_hand_is_not_moved_over(world):
    world.promote("dev")
    world.registry.set_alias("m", "dev", "3")
    with pytest.raises(PromotionConflictError, match="names 3, not 1 as expected") as caught:
        world.promote("dev", "2")
    assert caught.value.facts["winner"] == "somebody outside Airflow"
    alarm = world.ledger.get(caught.value.facts["alarm"])
    assert (alarm.kind, alarm.subject, alarm.verdict) == ("drift", "mlflow://m@dev", "fail")
    assert (alarm.evidence["expected"], alarm.evidence["found"]) == ("1", "3")
    assert world.registry.aliases("m")["dev"] == "3"
    world.promote("dev", "2", expected="3")
    assert world.registry.aliases("m")["dev"] == "2"


def test_the_champion_must_be_the_one_compared_with(world):
    world.walk("1")
    decision = world.decide("2", reference_kind="champion", reference_version="1")
    world.walk("2", until="staging")
    world.promote("staging", "3", override={"by": "ada", "reason": "x"})
    world.promote("production", "3", override={"by": "ada", "reason": "x"})
    with pytest.raises(PromotionConflictError, match="names 3, not 1 as expected"):
        world.promote("production", "2", decision=decision)


def test_the_same_version_again_is_no_second_move(world):
    first = world.promote("dev", key="a")
    again = world.promote("dev", key="b")
    assert again.record == first.record
    assert world.intervals() == [("dev", "1", True)]


def test_a_retry_finds_its_move_done(world):
    first = world.promote("dev", key="a")
    world.registry.calls.clear()
    assert world.promote("dev", key="a") == first
    assert "set_alias" not in world.registry.calls


def test_a_late_retry_is_told_that_another_holds_it_now(world):
    world.promote("dev", key="a")
    world.promote("dev", "2", key="b", by="dag/run/two")
    with pytest.raises(PromotionConflictError) as caught:
        world.promote("dev", key="a")
    assert caught.value.facts["winner"] == "dag/run/two"


# --- crashes -----------------------------------------------------------------------------------


def test_while_the_dead_ones_claim_is_young_nobody_moves(store):
    world = World(store, DyingRegistry())
    world.registry.calls.clear()
    world.registry.at = 3  # when the alias is set
    with pytest.raises(Killed):
        world.promote("dev", "2", key="dead", by="dag/run/dead")
    world.registry.at = None
    with pytest.raises(PromotionConflictError, match="dag/run/dead is moving m right now"):
        world.promote("dev", "3", key="next")


def test_a_registry_that_goes_away_is_tried_again(world):
    world.registry.away = True
    with pytest.raises(RegistryUnavailableError):
        world.promote("dev", key="a")
    world.registry.away = False
    world.promote("dev", key="a")
    assert world.intervals() == [("dev", "1", True)]


def test_a_ledger_that_cannot_be_written_leaves_the_move_to_the_retry(world):
    class FullDisk(Promotions):
        def complete(self, claim, draft):
            raise OSError(28, "No space left on device")

    whole, world.promotions = world.promotions, FullDisk(world.store)
    with pytest.raises(OSError, match="No space left"):
        world.promote("dev", key="a")
    assert world.intervals() == []
    world.promotions = whole
    world.promote("dev", key="a")
    assert world.intervals() == [("dev", "1", True)]
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []
