"""Refused: who asks has no right to."""

from __future__ import annotations

from airflow_ai_provider.sensors.promotion import AliasDriftSensor, ModelVersionSensor
from tests.edge.guarded_scene import Act, Scene
from tests.edge.promotion_scene import context_of
from tests.edge.refusal_cases import FOR_GOOD, HTTP, MOVE, refusal
from tests.edge.refused_moves import NOBODY_SERVES
from tests.mlflow_tokens import token_of


@refusal(f"{HTTP}:_send#1", FOR_GOOD, says=r"does not let this user in \(401\).*Check login")
def wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1", says=r"\(401\): The token has expired\. .*may be wrong, or have expired"
)
def expired_token(scene: Scene) -> Act:
    scene.connect(login=None, token=token_of("editor", -1))
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): This is no token")
def invalid_token(scene: Scene) -> Act:
    scene.connect(login=None, token="letmein")
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): You are not authenticated")
def no_login_at_all(scene: Scene) -> Act:
    scene.connect(login=None)
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): The token has expired")
def token_that_expires_before_the_move(scene: Scene) -> Act:
    soon = token_of("editor", 1000)
    scene.connect(login=None, token=soon)
    late = b'{"error_code": "UNAUTHENTICATED", "message": "The token has expired."}'
    scene.proxy.on(*MOVE, status=401, says=late)
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1",
    says=r"does not let reader do this \(403\): Permission denied.*permission EDIT on the model m",
)
def reader_may_not_move(scene: Scene) -> Act:
    scene.connect("reader")
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1", says=r"does not let reader do this \(403\).*permission READ on the model"
)
def stranger_may_not_even_look(scene: Scene) -> Act:
    scene.users.grant("reader", scene.name, "DENY")
    scene.connect("reader")
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"does not let reader .*permission EDIT on the model")
def reader_may_not_go_back(scene: Scene) -> Act:
    for version in ("1", "2"):
        scene.promoting("dev", version)()
    scene.connect("reader")
    return scene.going_back()


@refusal(f"{HTTP}:_send#1", says=r"does not let mover .*permission MANAGE on the model", moves=True)
def mover_may_not_take_an_alias_away(scene: Scene) -> Act:
    scene.users.grant("mover", scene.name, "EDIT")
    scene.connect("mover")
    return scene.promoting(smoke_check=NOBODY_SERVES)


@refusal(f"{HTTP}:_send#1", says="does not let reader .*permission EDIT on the model prod.m")
def reader_may_not_make_a_copy(scene: Scene) -> Act:
    scene.hands.create_model(f"prod.{scene.name}")
    act = scene.copying()
    scene.target("reader")
    return act


@refusal(
    "adapters/mlflow.py:translated#2", says=r"does not let this user do this \(.*authenticated"
)
def copy_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.copying()


@refusal("sensors/promotion.py:poke#1", f"{HTTP}:_send#1", says=r"\(401\)")
def sensor_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name, environment="dev")
    return lambda: sensor.poke(context_of(sensor))


@refusal("sensors/promotion.py:poke#2", f"{HTTP}:_send#1", says=r"\(401\)")
def watch_with_a_wrong_password(scene: Scene) -> Act:
    scene.promoting()()
    scene.connect(password="not-the-password")
    sensor = AliasDriftSensor(task_id="watch", model_name=scene.name)
    return lambda: sensor.poke(context_of(sensor))


@refusal("operators/promotion.py:execute#1", f"{HTTP}:_send#1", says=r"\(401\)")
def gate_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.judging(
        [{"kind": "budget", "cost": "load_s", "max": 9}],
        costs={"load_s": 1.0},
        reference_kind="champion",
        reference_version="1",
    )
