"""Refused: by the gate, by a sensor, by registration."""

from __future__ import annotations

from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.sensors.promotion import ModelVersionSensor
from tests.edge.guarded_scene import Act, Scene
from tests.edge.promotion_scene import context_of
from tests.edge.refusal_cases import refusal

JUDGING = "services/promotion/judging.py"
GATE = "operators/promotion.py:execute#1"


@refusal("operators/_gate.py:conclude#1", says="loss")
def candidate_without_the_metric(scene: Scene) -> Act:
    return scene.judging([{"kind": "reported", "figure": "loss", "max": 0.3}], run={"metrics": {}})


@refusal("operators/_gate.py:conclude#1", says="loss")
def candidate_whose_metric_is_no_number(scene: Scene) -> Act:
    said = {"metrics": {"loss": "NaN"}}
    return scene.judging([{"kind": "reported", "figure": "loss", "max": 0.3}], run=said)


@refusal(f"{JUDGING}:load_criteria#1", GATE, says="cannot be read")
def criteria_that_are_not_there(scene: Scene) -> Act:
    return scene.judging("/nowhere.yaml")


@refusal(f"{JUDGING}:load_criteria#2", GATE, says="are no YAML")
def criteria_that_are_no_yaml(scene: Scene) -> Act:
    file = scene.folder / "criteria.yaml"
    file.write_text("- [", encoding="utf-8")
    return scene.judging(str(file))


@refusal(f"{JUDGING}:_looked_up#1", GATE, says="which is not found")
def criterion_of_a_function_that_is_not_there(scene: Scene) -> Act:
    return scene.judging([{"kind": "custom", "call": "tests.nowhere:f", "min": 1}])


@refusal(f"{JUDGING}:_looked_up#2", GATE, says="is no function")
def criterion_of_no_function(scene: Scene) -> Act:
    return scene.judging([{"kind": "custom", "call": "tests.mlflow_server:ADMIN", "min": 1}])


@refusal(
    "services/promotion/awaiting.py:read_wanted#1",
    "sensors/promotion.py:_wanted#1",
    says="No model",
)
def sensor_of_no_model(_scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name="")
    return lambda: sensor.poke(context_of(sensor))


@refusal("services/promotion/awaiting.py:read_wanted#2", says="no version number")
def sensor_of_no_number(scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name, newer_than="soon")
    return lambda: sensor.poke(context_of(sensor))


@refusal("sensors/promotion.py:execute_complete#1", says="refused for good")
def sensor_whose_trigger_was_refused(scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name)
    return lambda: sensor.execute_complete(context_of(sensor), {"error": "refused for good"})


@refusal("services/promotion/registration.py:register#1", says="lacks run_id or model_uri")
def registration_without_a_run(scene: Scene) -> Act:
    return lambda: ModelRegistryHook().register({"model_name": scene.name, "version": "1"})


@refusal("adapters/mlflow.py:split_run_uri#1", says="is no address of a logged model")
def registration_of_no_address(scene: Scene) -> Act:
    said = {"model_name": scene.name, "run_id": "r", "model_uri": "runs:/r"}
    return lambda: ModelRegistryHook().register(said)
