"""What the files in docker/ name is there: settings, connections, commands, ports, secrets."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from airflow.cli import cli_parser
from airflow.configuration import conf
from airflow.models.connection import Connection

from airflow_ai_provider.cli import build_parser
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE
from airflow_ai_provider.core.gpu.node_groups import groups_of
from airflow_ai_provider.get_provider_info import get_provider_info
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.trainer import main as trainer_main

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
INFO = get_provider_info()
FILES = sorted(
    path
    for path in DOCKER.rglob("*")
    if path.suffix in {".yaml", ".sh", ".md", ".Dockerfile"} and path.is_file()
)
# the official images bring the Celery provider, which this environment does not have
CELERY = {"broker_url", "result_backend"}
CELERY_COMMANDS = (["celery", "worker"],)


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def values() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "helm/values.yaml").read_text()))


def places() -> dict[str, dict[str, Any]]:
    """Return the values of each place, by its name."""
    paths = (DOCKER / "helm").glob("values-*.yaml")
    return {p.stem.removeprefix("values-"): yaml.safe_load(p.read_text()) for p in paths}


def known_options() -> dict[str, set[str]]:
    described: dict[str, Any] = {**conf.configuration_description, **INFO["config"]}
    found = {name: set(section["options"]) for name, section in described.items()}
    return {**found, "celery": found.get("celery", set()) | CELERY}


def environments() -> Iterator[dict[str, str]]:
    for service in compose()["services"].values():
        if isinstance(service.get("environment"), dict):
            yield {name: str(value) for name, value in service["environment"].items()}


def test_every_setting_is_one_of_airflow_or_ours() -> None:
    options = known_options()
    named = {
        tuple(name.removeprefix("AIRFLOW__").lower().split("__"))
        for environment in environments()
        for name in environment
        if name.startswith("AIRFLOW__")
    }
    for found in (values(), *places().values()):
        named |= {(s, o) for s, given in found["config"].items() for o in given}
    assert len(named) > 10
    assert [pair for pair in sorted(named) if pair[1] not in options.get(pair[0], ())] == []


@pytest.mark.parametrize("place", ["aks", "eks", "gke", "on-premise"])
def test_a_place_has_its_own_nodes_storage_and_identity(place: str) -> None:
    found = places()[place]
    assert set(found) <= {"config", "workers", "triggerer", "logs", "imagePullSecrets"}
    assert found["triggerer"]["persistence"]["storageClassName"]
    assert found["logs"]["persistence"]["storageClassName"]
    groups = groups_of(found["config"]["ai_provider"]["node_groups"])
    text = (DOCKER / f"helm/values-{place}.yaml").read_text()
    assert 'service_account_name="airflow-trainer"' in text
    if place == "on-premise":
        assert groups == ()
        assert "workers" not in found
        return
    (group,) = groups
    assert f"{group.name}" in text.partition("config:")[0]  # the command that makes it
    assert [t.key for t in group.taints] == [DEFAULT_RESOURCE]  # which GPU pods tolerate
    accounts = [found[who]["serviceAccount"]["annotations"] for who in ("workers", "triggerer")]
    (annotation,) = accounts[0]
    assert accounts[0] == accounts[1]
    assert f"{annotation}=" in text  # the trainer's account has one of its own


def test_every_connection_is_a_default_one_of_a_type_of_ours() -> None:
    defaults = {AiStoreHook.default_conn_name, ModelRegistryHook.default_conn_name}
    types = {item["connection-type"] for item in INFO["connection-types"]}
    told = {
        name: value
        for environment in environments()
        for name, value in environment.items()
        if name.startswith("AIRFLOW_CONN_")
    }
    assert {name.removeprefix("AIRFLOW_CONN_").lower() for name in told} == defaults
    for name, value in told.items():
        made = Connection.from_json(value, conn_id=name)
        assert made.conn_type in types
        assert set(json.loads(value)) <= {"conn_type", "host", "login", "password", "schema"}
    secrets = {s["envName"] for s in values()["secret"]}
    assert {name.removeprefix("AIRFLOW_CONN_").lower() for name in secrets} == defaults


def test_every_command_of_ours_is_one() -> None:
    said = {
        tuple(shlex.split(found))
        for path in FILES
        for found in re.findall(r"airflow-ai ((?:[a-z-]+ ?)+|--help)", path.read_text())
        if found.split()[0] in {"gpu", "store", "doctor", "ledger", "quality", "project"}
    }
    assert {("store", "migrate"), ("doctor",), ("gpu", "status")} <= said
    for words in said:
        build_parser().parse_args(list(words))


def airflow_commands() -> Iterator[list[str]]:
    for service in compose()["services"].values():
        dockerfile = (service.get("build") or {}).get("dockerfile")
        command = service.get("command")
        is_airflow = dockerfile == "docker/airflow.Dockerfile" and isinstance(command, list)
        if is_airflow and command[0] != "bash" and "entrypoint" not in service:
            yield command
        tested = " ".join((service.get("healthcheck") or {}).get("test") or ())
        yield from (_words(found) for found in re.findall(r"airflow (jobs .*)", tested))
    for path in FILES:
        yield from (_words(f) for f in re.findall(r"\bairflow (db \w+)", path.read_text()))


def _words(text: str) -> list[str]:
    return shlex.split(text.replace("$$(hostname)", "here").replace("$(hostname)", "here"))


def test_every_command_of_airflow_is_one() -> None:
    parser = cli_parser.get_parser()
    found = [words for words in airflow_commands() if words not in CELERY_COMMANDS]
    assert ["db", "migrate"] in found
    assert {"api-server", "scheduler", "dag-processor", "triggerer"} <= {w[0] for w in found}
    for words in found:
        parser.parse_args(words)


def test_addresses_name_services_and_the_ports_that_they_listen_on() -> None:
    services = compose()["services"]
    text = (DOCKER / "compose.yaml").read_text()
    mlflow = " ".join(services["mlflow"]["command"])
    listening = {
        "apiserver": int(conf.get("api", "port")),
        "mlflow": int(re.findall(r"--port (\d+)", mlflow)[0]),
        "redis": 6379,
        "postgres": 5432,
    }
    addresses = {urlsplit(found) for found in re.findall(r"http://[\w.-]+:\d+", text)}
    assert {address.hostname for address in addresses} >= {"apiserver", "mlflow"}
    for address in addresses:
        if address.hostname in services:
            assert listening[address.hostname] == address.port, address.geturl()
    for name, service in services.items():
        for port in service.get("ports", []):
            assert int(port.split(":")[-1]) == listening[name]
    for port, path in re.findall(r"localhost:(\d+)(/[\w/]+)", text):
        assert (int(port), path) == (listening["apiserver"], "/api/v2/monitor/health")


def test_the_readme_makes_the_secrets_that_the_values_name() -> None:
    text = (DOCKER / "README.md").read_text()
    made = {
        name: set(re.findall(r"--from-literal=([\w-]+)", rest))
        for name, rest in re.findall(
            r"create secret generic ([\w-]+)((?:[^\n]|\\\n|\n +--)*)", text.replace("\\\n", " ")
        )
    }
    chart = values()
    asked = {
        chart["data"]["metadataSecretName"]: {"connection"},
        chart["apiSecretKeySecretName"]: {"api-secret-key"},
        chart["jwtSecretName"]: {"jwt-secret"},
        chart["fernetKeySecretName"]: {"fernet-key"},
    }
    for secret in chart["secret"]:
        asked.setdefault(secret["secretName"], set()).add(secret["secretKey"])
    assert made == asked


def test_the_trainer_starts_what_is_in_the_package() -> None:
    text = (DOCKER / "trainer.Dockerfile").read_text()
    entries = set(re.findall(r"ENTRYPOINT (\[.*\])", text))
    assert [json.loads(entry) for entry in entries] == [["python", "-m", trainer_main.__module__]]
    named = set(re.findall(r"[\w.]+\.pipeline:\w+", text + (DOCKER / "README.md").read_text()))
    assert named
    for name in named:
        module, _, function = name.partition(":")
        path = ROOT / "dags" / (module.replace(".", "/") + ".py")
        assert f"def {function}(" in path.read_text()


@pytest.mark.parametrize("name", ["trainer.Dockerfile", "mlflow.Dockerfile"])
def test_what_an_image_installs_has_a_tested_version(name: str) -> None:
    text = (DOCKER / name).read_text()
    installed = (
        " ".join(re.findall(r"REQUIREMENTS=\"(.*)\"", text))
        or re.findall(r"constraints.txt (.*?) *\\", text)[0]
    )
    pinned = {
        line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    loose = [word for word in installed.split() if "==" not in word and word not in pinned]
    assert loose == []


def test_the_same_parameters_of_operators_stand_in_what_the_files_say() -> None:
    module = import_module("airflow_ai_provider.operators.gpu_kubernetes")
    text = "\n".join(path.read_text() for path in FILES)
    named = {
        argument
        for call in re.findall(r"GpuKubernetesPodOperator\(([^)]*)\)", text.replace("\n#", ""))
        for argument in re.findall(r"(\w+)=", call)
    }
    assert {"gpu_model", "kueue_queue"} <= named
    own = module.GpuKubernetesPodOperator
    known = {n for made in own.__mro__[:-1] for n in getattr(made.__init__, "__annotations__", ())}
    assert named <= known
