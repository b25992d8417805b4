"""What we tell Airflow about ourselves is true."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
from importlib import import_module, metadata
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseOperator

import airflow_ai_provider
from airflow_ai_provider.get_provider_info import get_provider_info

INFO = get_provider_info()
ROOT = Path(airflow_ai_provider.__file__).parent
KINDS = ("hooks", "operators", "sensors", "triggers")


def declared() -> list[str]:
    return [m for kind in KINDS for group in INFO[kind] for m in group["python-modules"]]


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_the_provider_info_fits_airflows_schema(schema: str) -> None:
    rules = json.loads((Path(airflow.__file__).parent / schema).read_text())
    jsonschema.validators.validator_for(rules)(rules).validate(INFO)


def test_the_package_name_is_the_canonical_one() -> None:
    assert INFO["package-name"] == "airflow-ai-provider"
    assert metadata.metadata("airflow-ai-provider")["Name"] == INFO["package-name"]


@pytest.mark.parametrize("module", declared())
def test_every_declared_module_imports(module: str) -> None:
    assert import_module(module).__doc__


@pytest.mark.parametrize(
    "path",
    [c["hook-class-name"] for c in INFO["connection-types"]]
    + [d["class-name"] for d in INFO["task-decorators"]]
    + INFO["extra-links"],
)
def test_every_declared_class_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name)


def test_every_edge_module_with_a_public_class_is_declared() -> None:
    for kind in KINDS:
        package = import_module(f"airflow_ai_provider.{kind}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not found.name.rpartition(".")[2].startswith("_"):
                assert found.name in declared()


def test_hooks_agree_with_their_connection_type() -> None:
    for item in INFO["connection-types"]:
        module, _, name = item["hook-class-name"].rpartition(".")
        hook = getattr(import_module(module), name)
        assert issubclass(hook, BaseHook)
        assert hook.conn_type == item["connection-type"]
        assert hook.hook_name == item["hook-name"]
        assert "__" not in hook.conn_type


def operators() -> list[type[BaseOperator]]:
    found = set()
    for name in declared():
        for _, thing in inspect.getmembers(import_module(name), inspect.isclass):
            if issubclass(thing, BaseOperator) and thing.__module__ == name:
                found.add(thing)
    return sorted(found, key=lambda c: c.__name__)


@pytest.mark.parametrize("operator", operators(), ids=lambda c: c.__name__)
def test_no_operator_argument_shadows_one_of_airflows(operator: type[BaseOperator]) -> None:
    own = set(inspect.signature(operator.__init__).parameters)
    reserved = {"pool", "pool_slots", "queue", "resources", "executor", "owner"}
    assert not own & reserved


@pytest.mark.parametrize("operator", operators(), ids=lambda c: c.__name__)
def test_template_fields_are_stored_as_they_are_given(operator: type[BaseOperator]) -> None:
    parameters = inspect.signature(operator.__init__).parameters
    for field in operator.template_fields:
        owner = next(
            (c for c in operator.__mro__ if field in c.__dict__.get("template_fields", ())), None
        )
        if owner is not None and owner.__module__.startswith("airflow_ai_provider"):
            assert field in parameters or any(
                field in inspect.signature(c.__init__).parameters
                for c in operator.__mro__
                if c is not object
            ), field


def test_nothing_below_the_edge_imports_airflow() -> None:
    for folder in ("core", "store", "adapters", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                assert not any(n == "airflow" or n.startswith("airflow.") for n in names), path


LAYERS = {"core": 0, "store": 1, "adapters": 1, "services": 2, "hooks": 3}


def test_imports_follow_the_one_arrow() -> None:
    for path in ROOT.rglob("*.py"):
        folder = path.relative_to(ROOT).parts[0]
        if folder not in LAYERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ROOT.name + "."):
                target = (node.module or "").split(".")[1]
                assert (
                    LAYERS.get(target, 0 if target in {"get_provider_info"} else 9)
                    <= LAYERS[folder]
                    or target == "assets"
                ), f"{path} imports {node.module}"
