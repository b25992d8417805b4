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


def examples() -> dict[str, str]:
    codes = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return {re.findall(r"^def (\w+)", code, re.MULTILINE)[0]: code for code in codes}


@pytest.mark.parametrize(
    ("name", "edge"), [("train_on_good_data", ("gate", "train")), ("fine_tune", ("train", "score"))]
)
def test_its_dags_are_dags(name: str, edge: tuple[str, str]) -> None:
    names: dict[str, object] = {}
    exec(compile(examples()[name], "README.md", "exec"), names)
    made = names[name]()  # type: ignore[operator]
    assert set(made.task_dict) == set(edge)
    assert made.task_dict[edge[1]].upstream_task_ids == {edge[0]}
    assert len([line for line in examples()[name].splitlines() if line.strip()]) <= 16


def test_it_has_no_other_example() -> None:
    assert set(examples()) == {"train_on_good_data", "fine_tune"}
