"""Retrain, roll back or neither: decided with its record in one transaction."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.causes import GpuHours, gpu_budget
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.policy import Champion, RetrainPolicy
from airflow_ai_provider.core.gate import GateDraft, GateKind, Origin, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.retraining import (
    Decided,
    Facts,
    RetrainingService,
    read_drift,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, row_of
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_history import KEEP_OF_TASK
from airflow_ai_provider.store.gpu_usage import used_hours
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import lease, lease_device
from airflow_ai_provider.testing import fake_devices

MODEL = "m"
WELL = {"version": "2", "n": 900, "gap": 0.0, "gap_low": -0.01, "gap_high": 0.01}
WORSE = {
    "version": "2", "other": "1", "metric": "log_loss", "n": 500,
    "value": 0.7, "other_value": 0.6, "difference": 0.1, "low": 0.05, "high": 0.15,
}  # fmt: skip


def facts(**changes: Any) -> Facts:
    said: dict[str, Any] = {
        "model_name": MODEL,
        "policy": RetrainPolicy(max_age_days=30),
        "metrics": {"versions": [WELL], "pairs": []},
        "champion": Champion(version="2", trained_through=date(2026, 3, 31)),
        "partition": "2026-06",
        "window_end": date(2026, 6, 30),
        "newest_data": date(2026, 5, 31),
    }
    return Facts(**{**said, **changes})


def place(task: str = "decide", run: str = "r") -> Origin:
    return Origin(dag_id="d", run_id=run, task_id=task, map_index=-1, try_number=1)


def decided(store: Store, *, origin: Origin | None = None, **changes: Any) -> Decided:
    return RetrainingService(store).decide(
        facts(**changes), origin=origin or place(), decided_by="test"
    )


def judged(store: Store) -> None:
    Ledger(store).append(
        GateDraft(kind=GateKind.MODEL, subject=f"mlflow://{MODEL}/3", verdict=Verdict.FAIL)
    )


def reason(found: Decided, name: str) -> Any:
    return next(c for c in found.retrain.criteria if c.name == name)


def test_one_retraining_is_under_way_until_a_candidate_is_judged(store: Store) -> None:
    first = decided(store)
    assert first.decision == "retrain"
    second = decided(store, origin=place(run="next"))
    assert second.decision == "none"
    assert "under way" in second.retrain.summary
    assert second.record.evidence["under_way"] == first.record.id
    judged(store)
    assert decided(store, origin=place(run="third")).decision == "retrain"


def test_the_same_task_may_decide_the_same_again(store: Store) -> None:
    service = RetrainingService(store)

    def key(draft: GateDraft) -> str:
        return f"k{draft.verdict}"

    one, two = (
        service.decide(facts(), origin=place(), decided_by="test", key=key) for _ in range(2)
    )
    assert one.record == two.record
    assert one.decision == two.decision == "retrain"


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_retraining_that_came_to_nothing_ends_by_itself(store: Store) -> None:
    decided(store)
    soon = RetrainPolicy(max_age_days=30, in_flight_hours=0)
    assert decided(store, origin=place(run="next"), policy=soon).decision == "retrain"


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
def test_of_many_at_once_one_says_yes(store: Store) -> None:
    barrier, found = threading.Barrier(6), []

    def decide(number: int) -> None:
        own = Store(store.full_url)
        barrier.wait()
        found.append(decided(own, origin=place(run=str(number))).decision)
        own.close()

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == ["none"] * 5 + ["retrain"]
    assert Ledger(store).verify() == (6, None)


@pytest.mark.parametrize("store", ["memory"], indirect=True)
@pytest.mark.parametrize(
    ("policy", "more", "criterion", "speaks_for"),
    [
        ({"quality": {"roc_auc": 0.7}}, {"roc_auc": 0.69}, "quality_roc_auc", True),
        ({"quality": {"roc_auc": 0.7}}, {"roc_auc": 0.7}, "quality_roc_auc", False),
        ({"quality": {"roc_auc": 0.7}}, {}, "quality_roc_auc", False),
        ({"quality": {"log_loss": 0.5}}, {"log_loss": 0.6}, "quality_log_loss", True),
        ({"quality": {"log_loss": 0.5}}, {"log_loss": 0.4}, "quality_log_loss", False),
    ],
)
def test_quality_is_a_cause_on_the_right_side_of_its_limit(
    store: Store, policy: dict[str, Any], more: dict[str, float], criterion: str, speaks_for: bool
) -> None:
    found = decided(
        store,
        policy=RetrainPolicy.from_dict({"max_gap": None, "max_age_days": None, **policy}),
        metrics={"versions": [{**WELL, **more}]},
    )
    assert (reason(found, criterion).verdict is Verdict.PASS) is speaks_for
    assert (found.decision == "retrain") is speaks_for


@pytest.mark.parametrize("store", ["memory"], indirect=True)
@pytest.mark.parametrize(("drift", "retrain"), [(0.3, True), (0.2, False), (None, False)])
def test_drift_is_a_cause(store: Store, drift: float | None, retrain: bool) -> None:
    policy = RetrainPolicy.from_dict({"max_gap": None, "max_age_days": None, "max_drift": 0.2})
    assert (decided(store, policy=policy, drift=drift).decision == "retrain") is retrain


def test_enough_must_have_come_in_since_the_last_retraining(store: Store) -> None:
    def come_in(number: int, start: int) -> None:
        documents = [
            {
                "feedback_id": f"f{start + n}",
                "model_name": MODEL,
                "observed_at": datetime(2026, 6, 1, tzinfo=timezone.utc),
                "label": 1,
            }
            for n in range(number)
        ]
        rows = [row_of(parse(found)) for found in documents]
        FeedbackStore(store).write_batch([rows], [], sources=["x"])

    policy = RetrainPolicy(max_age_days=30, min_new_feedback=5)
    come_in(4, 0)
    assert decided(store, policy=policy).decision == "none"
    come_in(1, 4)
    assert decided(store, policy=policy).decision == "retrain"
    judged(store)
    again = decided(store, policy=policy, origin=place(run="next"))
    assert reason(again, "new_feedback").observed == 0
    come_in(5, 5)
    assert decided(store, policy=policy, origin=place(run="third")).decision == "retrain"


def held(store: Store, hours: float, *, project: str, task: int = 0) -> None:
    gpu = GpuStore(store, Host(name="box", boot_id="b"))
    asked = gpu.ask(
        Ticket(holder=f"h{project}{task}", request=GpuRequest(gpus=2, project=project)),
        process=Process(pid=1, start=1, uid=0),
        devices=fake_devices(2, host="box"),
    )
    assert asked.lease is not None
    with store.write() as connection:
        now = store.utcnow(connection)
        connection.execute(
            lease.update()
            .where(lease.c.id == asked.lease.id)
            .values(activated_at=now - timedelta(hours=hours))
        )


def test_gpu_hours_are_counted_from_the_leases(store: Store) -> None:
    held(store, 3, project="flights")
    assert used_hours(store, project="flights", days=28).hours == pytest.approx(6, abs=0.01)
    assert used_hours(store, project="other", days=28).hours == 0
    assert used_hours(store, project=None, days=28).cut == ()
    budget = RetrainPolicy(max_age_days=30, gpu_hours=5)
    assert decided(store, policy=budget, project="flights").decision == "none"
    assert decided(store, policy=budget, project="other").decision == "retrain"


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_lease_older_than_the_window_counts_only_within_it(store: Store) -> None:
    held(store, 24 * 40, project="flights")
    assert used_hours(store, project="flights", days=10).hours == pytest.approx(480, abs=0.1)


def test_a_budget_whose_history_is_cut_is_unknown_and_lets_nothing_pass() -> None:
    cut = gpu_budget(5, GpuHours(hours=1, days=28, cut=("d.train",)))
    assert (cut.verdict, cut.observed) == (Verdict.FAIL, None)
    assert "d.train is cut" in cut.sentence
    assert gpu_budget(5, GpuHours(hours=6, days=28, cut=("d.train",))).observed == 6
    assert gpu_budget(5, None).verdict is Verdict.FAIL
    assert gpu_budget(5, GpuHours(hours=4.9, days=28)).verdict is Verdict.PASS


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_task_with_as_many_leases_as_are_kept_is_told_of(store: Store) -> None:
    for number in range(KEEP_OF_TASK):
        held(store, 0.1, project="flights", task=number)
        with store.write() as connection:
            now = store.utcnow(connection)
            connection.execute(lease.update().values(state="released", released_at=now))
            connection.execute(lease_device.update().values(live=False))
    assert used_hours(store, project="flights", days=28).cut == ("programs outside Airflow",)


def moved(store: Store, *versions: str) -> None:
    before = None
    for version in versions:
        Ledger(store).append(
            GateDraft(
                kind=GateKind.PROMOTION,
                subject=f"mlflow://{MODEL}/{version}",
                verdict=Verdict.PASS,
                evidence={"environment": "production", "from": before, "to": version},
            )
        )
        before = version


BACK = RetrainPolicy.from_dict({"max_age_days": 30, "rollback": {"min_feedback": 100}})


def test_a_champion_that_fell_below_the_one_before_goes_back(store: Store) -> None:
    moved(store, "1", "2")
    found = decided(store, policy=BACK, metrics={"versions": [WELL], "pairs": [WORSE]})
    assert found.decision == "rollback"
    assert not found.retrain.retrain
    assert found.record.verdict == "fail"
    assert found.rollback_record is not None
    back = found.rollback_record
    assert (back.kind, back.subject, back.verdict) == ("rollback", "mlflow://m/2", "pass")
    assert (back.evidence["previous"], back.evidence["retrain_record"]) == ("1", found.record.id)
    assert RetrainingService(store).previous(MODEL) == "1"  # a decision is no move
    assert Ledger(store).verify()[1] is None


@pytest.mark.parametrize("store", ["memory"], indirect=True)
@pytest.mark.parametrize(
    ("versions", "pair"),
    [
        (("2",), WORSE),
        (("1", "2"), None),
        (("0", "2"), WORSE),
        (("1", "2"), {**WORSE, "low": -0.01}),
        (("1", "2"), {**WORSE, "low": None, "high": None}),
        (("1", "2"), {**WORSE, "n": 99}),
        (("1", "2"), {**WORSE, "metric": "brier"}),
    ],
)
def test_otherwise_it_stays_and_the_reason_is_told(
    store: Store, versions: tuple[str, ...], pair: dict[str, Any] | None
) -> None:
    moved(store, *versions)
    found = decided(
        store, policy=BACK, metrics={"versions": [WELL], "pairs": [pair] if pair else []}
    )
    assert found.decision == "retrain"
    assert found.rollback is not None
    assert found.rollback.summary.startswith("Do not roll back: ")
    assert found.rollback_record is None


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_the_pair_is_found_whichever_way_it_was_compared(store: Store) -> None:
    moved(store, "1", "2")
    turned = {
        **WORSE, "version": "1", "other": "2", "value": 0.6, "other_value": 0.7,
        "difference": -0.1, "low": -0.15, "high": -0.05,
    }  # fmt: skip
    found = decided(store, policy=BACK, metrics={"versions": [WELL], "pairs": [turned]})
    assert found.decision == "rollback"


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_named_previous_version_goes_before_the_ledgers(store: Store) -> None:
    found = decided(
        store, policy=BACK, previous="1", metrics={"versions": [WELL], "pairs": [WORSE]}
    )
    assert found.decision == "rollback"
    assert replace(facts(), champion=None).subject == "mlflow://m"


@pytest.mark.parametrize(
    "wrong",
    [
        {"quality": {"what": 1}},
        {"quality": {"roc_auc": "x"}},
        {"quality": {"roc_auc": True}},
        {"quality": 0.7},
        {"gpu_days": 0},
        {"gpu_days": 90},
        {"max_drift": -1},
        {"min_new_feedback": None},
        {"rollback": {"metric": "what"}},
        {"rollback": {"margin": -1}},
        {"rollback": {"margin": "a"}},
        {"rollback": {"ask": "yes"}},
        {"rollback": {"asks": True}},
        {"rollback": True},
    ],
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RetrainPolicyError):
        RetrainPolicy.from_dict(wrong)


def test_drift_is_read_in_each_of_its_forms() -> None:
    assert read_drift({"drifted": 1, "compared": 4}) == 0.25
    assert read_drift({"drifted": 0, "compared": 0}) is None
    assert read_drift("0.5") == 0.5
    assert read_drift(None) is None
    for wrong in ("much", 1.5, {"a": 1}):
        with pytest.raises(RetrainPolicyError):
            read_drift(wrong)
