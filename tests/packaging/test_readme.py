"""The README says what is there, and what it shows works."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from airflow.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger

from airflow_ai_provider.cli import COMMANDS, build_parser
from airflow_ai_provider.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def public_classes() -> list[str]:
    info = get_provider_info()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for group in info[kind]
        for module in group["python-modules"]
    ]
    return sorted(
        name
        for module in modules
        for name, thing in inspect.getmembers(import_module(module), inspect.isclass)
        if issubclass(thing, (BaseHook, BaseOperator, BaseTrigger)) and thing.__module__ == module
    )


def test_it_is_short() -> None:
    assert README.count("\n") <= 250


@pytest.mark.parametrize("name", public_classes())
def test_every_public_class_is_in_it(name: str) -> None:
    assert f"`{name}`" in README


def test_every_task_decorator_is_in_it() -> None:
    for decorator in get_provider_info()["task-decorators"]:
        assert f"@task.{decorator['name']}" in README


def test_every_command_is_in_it() -> None:
    build_parser()
    for command in COMMANDS:
        assert re.search(rf"`{command}\b", README), command


def test_every_setting_and_connection_is_in_it() -> None:
    info = get_provider_info()
    for option in info["config"]["ai_provider"]["options"]:
        assert f"`{option}`" in README
    for connection in info["connection-types"]:
        assert f"`{connection['connection-type']}`" in README


def test_every_template_is_in_it() -> None:
    for path in (ROOT / "dags").glob("*.py"):
        if path.stem != "use_cases":
            assert f"`{path.stem}`" in README


def test_its_dag_is_a_dag() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    made = names["train_on_good_data"]()
    assert set(made.task_dict) == {"gate", "train"}
    assert made.task_dict["train"].upstream_task_ids == {"gate"}
    assert len([line for line in code.splitlines() if line.strip()]) <= 16
