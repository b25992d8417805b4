"""Refused: somebody else moved, the endpoint does not serve, or there is no way back."""

from __future__ import annotations

from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.services.promotion import PromotionOrder, promote
from airflow_ai_provider.store.promotion import Claim, Promotions
from tests.edge.guarded_scene import ANYHOW, Act, Scene
from tests.edge.refusal_cases import MOVE, refusal

NOBODY_SERVES = {"url": "http://127.0.0.1:1/invocations", "inputs": [[1]], "patience": 0}


@refusal(
    "services/promotion/moving.py:_move_alias#1",
    "services/promotion/moving.py:make_move#1",
    says="names 2, not 1 as expected: moved by somebody outside Airflow.*Alarm .* is on record",
)
def alias_moved_by_hand_before_the_move(scene: Scene) -> Act:
    scene.promoting()()
    scene.hands.set_alias(scene.name, "dev", "2")
    scene.version()
    return scene.promoting(version="3")


@refusal(
    "services/promotion/moving.py:_move_alias#2",
    says="names 2, not 1 as expected: moved by somebody outside Airflow",
    moves=True,
)
def alias_moved_by_hand_right_after_the_move(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, after=lambda: scene.hands.set_alias(scene.name, "dev", "2"))
    return scene.promoting()


@refusal("services/promotion/moving.py:begin#1", says="names 2, not 1 .*moved by d/r/to_dev_2")
def retry_of_a_move_that_another_undid(scene: Scene) -> Act:
    scene.promoting()()
    scene.promoting(version="2")()
    return scene.promoting()


@refusal("store/promotion.py:claim#1", says="d/r/other is moving m.* right now")
def another_move_in_progress(scene: Scene) -> Act:
    promotions = Promotions(scene.ledger.store)
    move = {"version": "2", "environment": "dev"}
    promotions.claim(Claim(model_name=scene.name, key="other", by="d/r/other", move=move))
    return lambda: promote(
        PromotionOrder(model_name=scene.name, version="1", environment="dev"),
        promotions=promotions,
        registry=ModelRegistryHook().get_conn(),
        key="mine",
        moved_by="d/r/mine",
        patience=0.0,
    )


@refusal("store/promotion.py:renew#1", says="was taken over meanwhile")
def taken_for_dead_before_the_move(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", before=lambda: drop_claim(scene))
    return scene.promoting()


@refusal("store/promotion.py:complete#1", says="was taken over meanwhile", moves=True)
def taken_for_dead_after_the_move(scene: Scene) -> Act:
    scene.proxy.on("POST", "model-versions/set-tag", before=lambda: drop_claim(scene))
    return scene.promoting()


def drop_claim(scene: Scene) -> None:
    promotions = Promotions(scene.ledger.store)
    claim = promotions.claimed(scene.name)
    if claim is not None:
        promotions.release(claim)


@refusal(
    "services/promotion/checked.py:promote_checked#3", says="taken back to version 1", moves=True
)
def endpoint_that_does_not_serve(scene: Scene) -> Act:
    scene.promoting()()
    return scene.promoting(version="2", smoke_check=NOBODY_SERVES)


@refusal("services/promotion/checked.py:promote_checked#1", says="taken back to version 1")
def retry_after_the_endpoint_did_not_serve(scene: Scene) -> Act:
    scene.promoting()()
    act = scene.promoting(version="2", smoke_check=NOBODY_SERVES)
    try:
        act()
    except Exception:  # noqa: BLE001 - the case before says which
        return act
    raise AssertionError("the smoke check passed")


@refusal(
    "services/promotion/checked.py:promote_checked#2", says="there before this task, and stays"
)
def endpoint_that_does_not_serve_what_was_there(scene: Scene) -> Act:
    scene.promoting()()
    return scene.promoting(task_id="again", smoke_check=NOBODY_SERVES)


@refusal("services/promotion/rolling_back.py:_target#1", says="has no previous version")
def way_back_to_nothing(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back()


@refusal("services/promotion/rolling_back.py:_target#2", says="it is deleted")
def way_back_to_what_is_deleted(scene: Scene) -> Act:
    for version in ("1", "2"):
        scene.promoting("dev", version)()
    scene.delete_version("1")
    return scene.going_back(override=ANYHOW)


@refusal("services/promotion/rolling_back.py:_may#1", says="version 2 was never there")
def way_back_to_a_stranger(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back(target="2")


@refusal("services/promotion/rolling_back.py:roll_back#1", says="holds version 1 already")
def way_back_to_where_it_is(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back(target="1")
