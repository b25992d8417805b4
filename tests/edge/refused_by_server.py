"""Refused: the server knows it not, is busy, away or no MLflow."""

from __future__ import annotations

from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from tests.edge.guarded_scene import Act, Scene
from tests.edge.refusal_cases import FOR_GOOD, HTTP, MOVE, pending, refusal
from tests.mlflow_server import ADMIN, ADMIN_PASSWORD, free_port


@refusal(f"{HTTP}:_send#1", FOR_GOOD, says="does not know it: .*not found")
def unknown_model(scene: Scene) -> Act:
    scene.connect(ADMIN, ADMIN_PASSWORD)
    return scene.promoting(model_name="nobody-made-this")


@refusal(f"{HTTP}:_send#1", says=r"permission READ .*The same is said of what is not there")
def unknown_model_and_no_admin(scene: Scene) -> Act:
    return scene.promoting(model_name="nobody-made-this")


@refusal(f"{HTTP}:_send#1", says="does not know it: .*version=9")
def unknown_version(scene: Scene) -> Act:
    return scene.promoting(version="9")


@refusal(f"{HTTP}:_send#1", says="does not know it: ")
def version_deleted_before_the_move(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, before=lambda: scene.delete_version("1"))
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"refused \(INVALID_PARAMETER_VALUE\).*reserved")
def alias_that_mlflow_forbids(scene: Scene) -> Act:
    registry = ModelRegistryHook().get_conn()
    return lambda: registry.set_alias(scene.name, "v1", "1")


@refusal(f"{HTTP}:_send#1", says="answers 429: so says the proxy")
def too_many_requests(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", status=429)
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says="answers 500: so says the proxy")
def broken_server(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, status=500)
    return scene.promoting()


@refusal(f"{HTTP}:_send#2", says="does not answer: .*refused")
def nobody_listens(scene: Scene) -> Act:
    scene.proxy.url = f"http://127.0.0.1:{free_port()}"
    scene.connect()
    return scene.promoting()


@refusal(f"{HTTP}:_send#3", says="does not answer: ")
def server_that_goes_away(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, before=lambda: setattr(scene.proxy, "away", True), cut=True)
    return scene.promoting()


@refusal("adapters/mlflow.py:translated#1", says="does not answer: ")
def copy_from_a_server_that_is_away(scene: Scene) -> Act:
    scene.proxy.url = f"http://127.0.0.1:{free_port()}"
    scene.connect()
    return scene.copying()


@refusal("adapters/mlflow.py:translated#1", says="does not answer: .*500")
def copy_of_files_that_are_not_sent(scene: Scene) -> Act:
    scene.proxy.on("GET", "mlflow-artifacts", status=500)
    return scene.copying()


@refusal("adapters/mlflow.py:translated#3", says="does not let this user do this .*403")
def copy_of_files_that_nobody_may_see(scene: Scene) -> Act:
    scene.proxy.on("GET", "mlflow-artifacts", status=403)
    return scene.copying()


@refusal(f"{HTTP}:_document#1", says="answered, but not as MLflow does")
def server_that_is_a_web_page(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=lambda _: b"<html>welcome</html>")
    return scene.promoting()


@refusal(f"{HTTP}:_document#2", says="answered, but not as MLflow does")
def server_that_answers_a_list(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=lambda _: b"[1]")
    return scene.promoting()


@refusal(f"{HTTP}:part#1", says="answered, but not as MLflow does")
def server_that_answers_nothing(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", answer=lambda _: b"{}")
    return scene.promoting()


@refusal(
    "services/promotion/checks.py:check_order#1",
    says="Version 1 .* is PENDING_REGISTRATION, not READY",
)
def version_whose_files_are_not_all_there(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=pending)
    return scene.promoting()
