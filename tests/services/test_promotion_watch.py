"""What is done to a model outside Airflow is noticed, once, and says what MLflow knows of it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError, RegistryUnavailableError
from airflow_ai_provider.core.gate import GateKind, Origin
from airflow_ai_provider.core.promotion.environments import EnvironmentPath
from airflow_ai_provider.services.promotion import watch_aliases
from airflow_ai_provider.store.schema import promotion_state
from airflow_ai_provider.testing import FakeRegistry, memory_store
from tests.services.promotion_world import World

OVERRIDE = {"by": "ada", "reason": "it is only a test"}


@pytest.fixture
def world():
    made = World(memory_store())
    made.walk("1", until="staging")
    made.walk("2", until="staging")
    return made


def watch(world, **how):
    return watch_aliases("m", ledger=world.ledger, registry=world.registry, **how)


def alarms(world):
    return [
        (r.subject, r.verdict, r.criteria[0]["observed"])
        for r in world.ledger.search(kind=GateKind.DRIFT)
    ]


def test_nothing_to_tell(world):
    assert watch(world) == []
    assert alarms(world) == []


def test_an_alias_moved_by_hand(world):
    world.registry.set_alias("m", "test", "3")
    (told,) = watch(world, decided_by="Sensor", origin=Origin(dag_id="d"))
    assert (told["environment"], told["expected"], told["found"]) == ("test", "2", "3")
    assert (told["what"], told["by"], told["is_new"]) == ("moved", "promote", True)
    assert set(told["registry_says"]) == {"version_made_by", "version_made_at", "model_changed_at"}
    record = world.ledger.get(told["alarm"])
    assert (record.kind, record.subject, record.verdict) == ("drift", "mlflow://m@test", "fail")
    assert (record.decided_by, record.dag_id) == ("Sensor", "d")
    assert record.evidence["sentence"] == (
        "m@test names version 3, but the ledger put version 2 there: it was moved outside Airflow."
    )
    assert world.ledger.get(told["record"]).evidence["to"] == "2", "what the ledger expected"


def test_an_alarm_is_raised_once_and_closed(world):
    world.registry.set_alias("m", "test", "3")
    first = watch(world)[0]
    again = watch(world)[0]
    assert (again["alarm"], again["is_new"]) == (first["alarm"], False)
    world.registry.set_alias("m", "test", "2")
    assert watch(world) == []
    assert watch(world) == []
    world.registry.set_alias("m", "test", "3")
    assert watch(world)[0]["is_new"]
    assert alarms(world) == [
        ("mlflow://m@test", "fail", "3"),
        ("mlflow://m@test", "pass", None),
        ("mlflow://m@test", "fail", "3"),
    ]


def test_a_look_at_one_environment_leaves_the_others_alarms(world):
    for environment in ("dev", "test"):
        world.registry.set_alias("m", environment, "3")
    assert len(watch(world)) == 2
    world.registry.set_alias("m", "dev", "2")
    here = EnvironmentPath(names=("test",), decision_from="test")
    assert [t["environment"] for t in watch(world, path=here)] == ["test"]
    assert len(alarms(world)) == 2
    watch(world)
    assert alarms(world)[2:] == [("mlflow://m@dev", "pass", None)]


def test_a_refused_promotion_raises_the_alarm_once(world):
    world.registry.set_alias("m", "test", "3")
    for _ in range(2):
        with pytest.raises(PromotionConflictError, match=r"Alarm \w+ is on record"):
            world.promote("test", "1")
    assert alarms(world) == [("mlflow://m@test", "fail", "3")]
    assert watch(world)[0]["is_new"] is False


def test_a_move_under_way_is_no_alarm(world):
    """Somebody looks after the alias was moved and before it is on record."""
    seen = []

    class Watched(FakeRegistry):
        def set_tags(self, name, version, tags):
            seen.append(watch(world))
            with pytest.raises(PromotionConflictError) as caught:
                world.promote("test", "2", key=stood)
            seen.append(caught.value.facts["winner"])
            super().set_tags(name, version, tags)

    stood = "test:2"
    world.promote("test", "1", key="test:1")
    world.promote("test", "2", key=stood)
    world.registry.__class__ = Watched
    world.promote("test", "3", key="three", by="dag/run/three", override=OVERRIDE)
    assert seen == [[], "dag/run/three"] * 2
    assert alarms(world) == []
    assert watch(world) == []


def test_what_a_dead_mover_left_is_told_of(world):
    class Dying(FakeRegistry):
        def set_tags(self, name, version, tags):
            raise KeyboardInterrupt

    world.registry.__class__ = Dying
    with pytest.raises(KeyboardInterrupt):
        world.promote("test", "3", override=OVERRIDE)
    world.registry.__class__ = FakeRegistry
    assert watch(world) == []
    with world.store.write() as connection:
        long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
        connection.execute(promotion_state.update().values(claimed_at=long_ago))
    assert [t["found"] for t in watch(world)] == ["3"]
    world.promote("test", "1")
    assert watch(world) == []


def test_a_refused_promotion_of_what_was_set_by_hand_names_not_itself(world):
    world.promote("dev", "1", key="again")
    world.registry.set_alias("m", "dev", "3")
    with pytest.raises(PromotionConflictError) as caught:
        world.promote("dev", "3", by="dag/run/me")
    assert caught.value.facts["winner"] == "somebody outside Airflow"
    assert caught.value.facts["alarm"]


def test_what_was_expected_wrongly_is_no_alarm(world):
    with pytest.raises(PromotionConflictError):
        world.promote("production", "2", expected="9", decision=world.decide("2"))
    assert alarms(world) == []


def test_another_move_by_hand_is_another_alarm(world):
    for version in ("3", "1"):
        world.registry.set_alias("m", "test", version)
        assert watch(world)[0]["is_new"]
    assert len(alarms(world)) == 2


def test_taking_over_what_was_moved_by_hand_closes_the_alarm(world):
    world.registry.set_alias("m", "test", "3")
    watch(world)
    world.promote("test", "1", expected="3")
    assert watch(world) == []
    assert alarms(world)[-1] == ("mlflow://m@test", "pass", None)


def test_an_alias_that_the_ledger_does_not_know(world):
    world.registry.set_alias("m", "production", "3")
    (told,) = watch(world)
    assert (told["environment"], told["expected"], told["record"]) == ("production", None, None)


def test_an_alias_taken_away(world):
    world.registry.delete_alias("m", "staging")
    (told,) = watch(world)
    assert (told["what"], told["found"]) == ("taken away", None)


def test_a_live_version_deleted(world):
    world.registry.delete_version("m", "2")
    told = watch(world)
    assert [(t["environment"], t["what"]) for t in told] == [
        (environment, "deleted") for environment in ("dev", "test", "staging")
    ]
    assert "the version was deleted outside Airflow" in told[0]["sentence"]


def test_a_past_version_deleted_closes_a_way_back(world):
    world.registry.delete_version("m", "1")
    (told,) = watch(world)
    assert (told["expected"], told["what"], told["is_new"]) == ("1", "deleted", True)
    assert "there is no way back to it" in told["sentence"]
    assert watch(world)[0]["is_new"] is False
    assert alarms(world) == [("mlflow://m@staging/1", "fail", None)]


def test_a_registry_that_is_away_is_no_agreement(world):
    world.registry.set_alias("m", "test", "3")
    watch(world)
    world.registry.away = True
    with pytest.raises(RegistryUnavailableError):
        watch(world)
    assert len(alarms(world)) == 1
