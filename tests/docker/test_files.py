"""The files in docker/, held to what can be checked without Docker or a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
MANIFESTS = sorted(DOCKER.glob("kubernetes/*.yaml"))
VALUES = sorted(DOCKER.glob("helm/*.yaml"))
SECRET = re.compile(r"(?i)(password|secret|token|key)\b")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def test_all_the_ways_to_run_are_there() -> None:
    names = {path.name for path in DOCKERFILES}
    assert names == {"airflow.Dockerfile", "mlflow.Dockerfile", "trainer.Dockerfile"}
    clouds = {path.stem.removeprefix("values-") for path in VALUES}
    assert clouds == {"values", "eks", "gke", "aks", "on-premise"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_pins_its_base_and_ends_as_an_ordinary_user(path: Path) -> None:
    instructions = list(read_dockerfile(path))
    defaults = dict(
        value.split("=", 1) for word, value in instructions if word == "ARG" and "=" in value
    )
    stages: set[str] = set()
    for word, value in instructions:
        if word != "FROM":
            continue
        image, _, stage = value.partition(" AS ")
        for name, default in defaults.items():
            image = image.replace("${" + name + "}", default)
        assert image in stages or re.search(r":[0-9][\w.-]*$", image), image
        stages.add(stage)
    users = [value for word, value in instructions if word == "USER"]
    assert users
    assert set(users).isdisjoint({"root", "0"})
    last = max(index for index, (word, _) in enumerate(instructions) if word == "RUN")
    assert all(SECRET.search(value) is None for word, value in instructions[:last] if word == "ENV")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_a_dockerfile_copies_is_there(path: Path) -> None:
    copied = [
        source
        for word, value in read_dockerfile(path)
        if word == "COPY" and "--from" not in value
        for source in value.split()[:-1]
        if not source.startswith(("--", "${"))
    ]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_installs_extras_that_exist() -> None:
    text = (DOCKER / "airflow.Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = re.search(r"ARG EXTRAS=(.*)", text)
    assert found
    assert set(found[1].split(",")) <= set(project["project"]["optional-dependencies"])


def test_the_image_is_of_the_version_that_was_tested() -> None:
    tested = re.search(r"^apache-airflow==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert tested
    for path in ("airflow.Dockerfile", "helm/values.yaml", "README.md"):
        assert tested[1] in (DOCKER / path).read_text(), path


def test_every_service_of_compose_is_healthy_before_others_need_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    over = {"prepare", "init"}
    for name, service in services.items():
        assert "healthcheck" in service or name in over, name
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert needed in services
            if condition == "service_healthy":
                assert "healthcheck" in services[needed], (name, needed)
            else:
                assert (condition, needed in over) == ("service_completed_successfully", True)
    workers = [service for name, service in services.items() if name.startswith("worker")]
    assert len({worker["hostname"] for worker in workers}) == 2
    hosts = {w["environment"]["AIRFLOW__AI_PROVIDER__DEVICE_HOST"] for w in workers}
    assert hosts == {worker["hostname"] for worker in workers}


def test_compose_opens_ports_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_has_no_password_of_its_own(compose: dict[str, Any]) -> None:
    for path, value in walk(compose):
        if SECRET.search(path) and isinstance(value, str) and "PASSWORDS_FILE" not in path:
            assert re.fullmatch(r"\$\{\w+(:\?[^}]*)?\}", value) or "${" in value, path
    text = (DOCKER / "compose.yaml").read_text()
    for address in re.findall(r"\w+://[^\s\"']*@", text):
        assert "$" in address.partition("@")[0], address


def test_every_secret_that_compose_asks_for_is_made(tmp_path: Path) -> None:
    shutil.copy(DOCKER / "secrets.sh", tmp_path)
    made = [run_secrets(tmp_path) for _ in range(2)]
    assert made[0] == made[1]  # the second run changes nothing
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    values = dict(line.split("=", 1) for line in made[0].splitlines())
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 32 for value in values.values())
    asked = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    assert asked - set(values) == {"STATIC_DEVICES"}
    assert set(values) <= asked


def run_secrets(folder: Path) -> str:
    subprocess.run(["sh", "secrets.sh"], cwd=folder, check=True, capture_output=True)
    return (folder / ".env").read_text()


def test_the_volumes_and_files_of_compose_are_there(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), (name, source)
            else:
                assert source in compose["volumes"], (name, source)
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("path", [*MANIFESTS, *VALUES], ids=lambda path: path.name)
def test_a_manifest_or_values_file_is_yaml_without_a_secret(path: Path) -> None:
    documents = [d for d in yaml.safe_load_all(path.read_text()) if d is not None]
    assert documents
    for document in documents:
        if path.parent.name == "kubernetes":
            assert {"apiVersion", "kind", "metadata"} <= set(document)
            assert document["kind"] != "Secret"
        for place, value in walk(document):
            if re.search(r"(?i)password", place.rpartition(".")[2]):
                assert value is None, place


def test_the_accounts_are_those_that_have_rights() -> None:
    documents = [d for path in MANIFESTS for d in yaml.safe_load_all(path.read_text()) if d]
    accounts = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
    bound = {
        subject["name"]
        for d in documents
        if d["kind"].endswith("Binding")
        for subject in d["subjects"]
    }
    assert accounts == {"airflow-worker", "airflow-triggerer", "airflow-trainer"}
    assert bound == accounts - {"airflow-trainer"}
    queues = {d["metadata"]["name"] for d in documents if d["kind"] == "ClusterQueue"}
    assert {d["spec"]["clusterQueue"] for d in documents if d["kind"] == "LocalQueue"} == queues


def test_the_readme_names_files_that_are_there() -> None:
    text = (DOCKER / "README.md").read_text()
    named = set(re.findall(r"docker/[\w./-]+\.(?:sh|yaml|Dockerfile|txt)", text))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.fleet
@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    tool = shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not on this machine")
    found = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.fleet
def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    tool = shutil.which("docker")
    if (
        tool is None
        or subprocess.run([tool, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not on this machine")
    env = tmp_path / "env"
    shutil.copy(DOCKER / "secrets.sh", tmp_path)
    env.write_text(run_secrets(tmp_path))
    file = DOCKER / "compose.yaml"
    done = subprocess.run(
        [tool, "compose", "--env-file", env, "--file", file, "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def read_dockerfile(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each instruction with what it says, lines that go on put together."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text()).replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip():
            word, _, value = line.strip().partition(" ")
            yield word.upper(), value.strip()


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}.{index}")
    else:
        yield path, value
