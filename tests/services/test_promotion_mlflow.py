"""Promotion against a real MLflow server, and MLflow's own client on SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from airflow_ai_provider.adapters.mlflow import (
    RegistrySettings,
    client_of,
    open_registry,
    process_pointed_at,
)
from airflow_ai_provider.adapters.mlflow_files import MlflowFiles
from airflow_ai_provider.adapters.model_tree import digest_of_tree
from airflow_ai_provider.core.errors import (
    PromotionConflictError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.services.promotion import (
    CopyOrder,
    PromotionOrder,
    RollbackOrder,
    champion,
    check_aliases,
    copy_model,
    history,
    promote,
    register,
    roll_back,
    watch_aliases,
)
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import memory_store
from tests.mlflow_server import free_port
from tests.services.promotion_registry import tags_of

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENVIRONMENTS = ("dev", "test", "staging", "production")


class World:
    def __init__(self, settings):
        self.settings, self.registry = settings, open_registry(settings)
        store = memory_store()
        self.ledger, self.promotions = Ledger(store), Promotions(store)
        self.name = f"model_{uuid.uuid4().hex[:8]}"
        self.versions = [self.register(place) for place in range(2)]

    def evidence(self, place):
        return {
            "model_name": self.name,
            "run_id": f"{place}".rjust(32, "a"),
            "model_uri": f"s3://bucket/model{place}",
            "candidate": "boosting",
            "training": {"through": f"2013-0{place + 1}-28"},
        }

    def register(self, place):
        return register(self.evidence(place), registry=self.registry).version

    def decide(self, version):
        draft = GateDraft(
            kind=GateKind.MODEL,
            subject=f"mlflow://{self.name}/{version}",
            verdict=Verdict.PASS,
            evidence={"evidence_hash": "e"},
        )
        return self.ledger.append(draft).id

    def promote(self, environment, version, *, by="dag/run/task", **order):
        return promote(
            PromotionOrder(
                model_name=self.name,
                version=version,
                environment=environment,
                decision=self.decide(version),
                **order,
            ),
            promotions=self.promotions,
            registry=self.registry,
            key=f"{environment}:{version}:{by}",
            moved_by=by,
        )

    def roll_back(self, environment, *, by="dag/run/back", **order):
        order = RollbackOrder(model_name=self.name, environment=environment, **order)
        return roll_back(
            order,
            promotions=self.promotions,
            registry=self.registry,
            key=f"back:{len(self.ledger.search())}",
            moved_by=by,
        )

    def aliases(self):
        return self.registry.aliases(self.name)


@pytest.fixture
def world(mlflow_server):
    return World(RegistrySettings(tracking_uri=mlflow_server))


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    """The address of an MLflow without a server."""
    folder = tmp_path_factory.mktemp("sqlite")
    before = Path.cwd()
    os.chdir(folder)  # its artifacts go to a folder beside where the process was started
    yield f"sqlite:///{folder / 'mlflow.db'}"
    os.chdir(before)


def walk_and_look(world):
    one, two = world.versions
    assert (one, two) == ("1", "2")
    assert world.register(0) == one, "a run has one version"
    assert [v.version for v in world.registry.find_versions(world.name)] == ["1", "2"]
    for version in (one, two):
        for environment in ENVIRONMENTS:
            world.promote(environment, version)
    assert world.aliases() == dict.fromkeys(ENVIRONMENTS, two)
    live = [i for i in history(world.name, ledger=world.ledger) if i["to"] is None]
    assert {i["environment"]: i["version"] for i in live} == world.aliases()
    assert check_aliases(world.name, ledger=world.ledger, registry=world.registry) == []
    found = champion(world.name, registry=world.registry)
    assert (found["version"], found["trained_through"]) == ("2", "2013-02-28")
    world.registry.set_alias(world.name, "dev", one)
    (drift,) = check_aliases(world.name, ledger=world.ledger, registry=world.registry)
    assert (drift["environment"], drift["expected"], drift["found"]) == ("dev", "2", "1")
    with pytest.raises(RegistryNotFoundError):
        world.registry.get_version(world.name, "99")
    with pytest.raises(RegistryNotFoundError):
        world.registry.aliases("nobody_registered_this")
    assert world.registry.find_versions("nobody_registered_this") == []


def test_versions_walk_to_production_on_a_server(world):
    walk_and_look(world)


def test_versions_walk_to_production_through_the_client(sqlite):
    walk_and_look(World(RegistrySettings(tracking_uri=sqlite)))


def test_an_alias_moved_by_hand_is_refused_and_reported(world):
    one, two = world.versions
    world.promote("dev", one)
    world.registry.set_alias(world.name, "dev", two)
    third = world.register(2)
    with pytest.raises(PromotionConflictError, match="somebody outside Airflow"):
        world.promote("dev", third)
    assert world.aliases()["dev"] == two


def test_of_eight_promoters_one_wins(world):
    one, two = world.versions
    world.promote("dev", one)
    start, won, lost = threading.Barrier(8), [], []

    def race(name):
        start.wait()
        try:
            world.promote("dev", two, by=name, expected=one)
            won.append(name)
        except PromotionConflictError as error:
            lost.append(error.facts["winner"])

    threads = [threading.Thread(target=race, args=(f"p{place}",)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert lost == won * 7
    assert len(history(world.name, ledger=world.ledger)) == 2
    assert world.ledger.verify()[1] is None


def test_a_promotion_costs_little_beyond_the_requests(world):
    world.promote("dev", world.versions[0])
    begun = time.process_time()
    world.promote("test", world.versions[0])
    assert time.process_time() - begun < 0.25


@pytest.fixture(scope="module")
def logged(mlflow_server, tmp_path_factory):
    """A model logged on the server: its run and its address."""
    script = f"""
import mlflow
mlflow.set_tracking_uri({mlflow_server!r})
class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return [2 * value for value in model_input]
with mlflow.start_run() as run:
    mlflow.log_metric("auc", 0.7)
    mlflow.log_param("depth", 3)
    info = mlflow.pyfunc.log_model(name="model", python_model=Model(), pip_requirements=[])
print(run.info.run_id, info.model_uri)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("log"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-2:]


def test_a_model_logged_in_a_run_is_registered_by_both_addresses(mlflow_server, logged):
    run_id, model_uri = logged
    registry = open_registry(RegistrySettings(tracking_uri=mlflow_server))
    for place, address in enumerate((model_uri, f"runs:/{run_id}/model")):
        found = register(
            {"model_name": f"logged{place}", "run_id": run_id, "model_uri": address},
            registry=registry,
        )
        assert (found.run_id, found.source) == (run_id, model_uri)


def test_the_client_digests_the_files_of_a_version(sqlite, tmp_path):
    place, empty = tmp_path / "model", tmp_path / "empty"
    for folder in (place, empty, place / "data"):
        folder.mkdir()
    (place / "data" / "weights").write_bytes(b"1234")
    registry = open_registry(RegistrySettings(tracking_uri=sqlite))
    registry.create_model("digested")
    for folder in (place, empty):
        registry.create_version("digested", model_uri=str(folder), run_id=None, tags={})
    assert registry.artifact_digest("digested", "1") == digest_of_tree(place)[1]
    with pytest.raises(RegistryNotFoundError, match="Version 2 of digested has no files"):
        registry.artifact_digest("digested", "2")


def test_a_server_digests_as_a_folder_does(mlflow_server, logged, tmp_path):
    run_id, model_uri = logged
    found = register(
        {"model_name": "served", "run_id": run_id, "model_uri": model_uri},
        registry=open_registry(RegistrySettings(tracking_uri=mlflow_server)),
    )
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "mlflow", "artifacts", "download"),
            *("--artifact-uri", "models:/served/1", "--dst-path", str(tmp_path / "here")),
        ],
        env={**os.environ, "MLFLOW_TRACKING_URI": mlflow_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    registry = open_registry(RegistrySettings(tracking_uri=mlflow_server))
    assert (tmp_path / "here" / "registered_model_meta").is_file(), "a note of who loads"
    assert registry.artifact_digest("served", found.version) == digest_of_tree(tmp_path / "here")[1]


def test_a_model_is_copied_between_servers_and_loads_there(
    mlflow_server, sqlite, logged, tmp_path, monkeypatch
):
    run_id, model_uri = logged
    one, two = RegistrySettings(tracking_uri=mlflow_server), RegistrySettings(tracking_uri=sqlite)
    made = register(
        {"model_name": "origin", "run_id": run_id, "model_uri": model_uri},
        registry=open_registry(one),
        tags={"team": "vision"},
    )
    ledger = Ledger(memory_store())

    def copy(name, version, target_name, source, target):
        return copy_model(
            CopyOrder(model_name=name, version=version, target_name=target_name),
            source=MlflowFiles(source),
            target=MlflowFiles(target),
            registry=open_registry(target),
            ledger=ledger,
            copied_by="d/r/copy",
            work=tmp_path,
        )

    away = copy("origin", made.version, "prod.origin", one, two)
    assert copy("origin", made.version, "prod.origin", one, two).version == away.version
    monkeypatch.setenv(
        "AIRFLOW_CONN_ONE", json.dumps({"conn_type": "mlflow", "host": mlflow_server})
    )
    monkeypatch.setenv("AIRFLOW_CONN_TWO", json.dumps({"conn_type": "mlflow", "host": sqlite}))
    found = {
        name: ModelRegistryHook(name).get_files().describe(*what).metrics["auc"]
        for name, what in (
            ("one", ("origin", made.version)),
            ("two", ("prod.origin", away.version.version)),
        )
    }
    assert found == {"one": 0.7, "two": 0.7}
    home = copy("prod.origin", away.version.version, "home.origin", two, one)
    assert home.record.evidence["manifest"] == away.record.evidence["manifest"]
    for settings, copied in ((two, away), (one, home)):
        assert copied.version.tags["team"] == "vision"
        client = client_of(settings)
        run = client.get_run(copied.version.run_id)
        assert (run.data.metrics["auc"], run.data.params["depth"]) == (0.7, "3")
        assert len(client.get_metric_history(copied.version.run_id, "auc")) == 1
        with process_pointed_at(settings):
            import mlflow

            mlflow.set_tracking_uri(settings.tracking_uri)
            uri = f"models:/{copied.version.name}/{copied.version.version}"
            loaded = mlflow.pyfunc.load_model(uri)
            assert loaded.predict([1.0, 2.5]) == [2.0, 5.0]
            assert loaded.metadata.signature is not None


def test_back_and_forth_on_a_server(world):
    """A way back, the alarm about what was done by hand, and what MLflow knows of it."""
    one, two = world.versions
    for version in (one, two):
        world.promote("dev", version)
    assert world.roll_back("dev").version == one
    assert tags_of(world.registry, world.name, "airflow_ai.dev") == {
        one: "live",
        two: "rolled back",
    }
    world.registry.set_alias(world.name, "dev", two)
    look = {"ledger": world.ledger, "registry": world.registry}
    (alarm,) = watch_aliases(world.name, **look)
    assert (alarm["expected"], alarm["found"]) == (one, two)
    assert alarm["registry_says"]["version_made_at"].startswith("20")
    assert alarm["registry_says"]["model_changed_at"].startswith("20")
    with pytest.raises(PromotionConflictError, match="somebody outside Airflow"):
        world.roll_back("dev", target=one)
    world.registry.delete_alias(world.name, "dev")
    world.registry.delete_alias(world.name, "dev")
    assert world.aliases() == {}
    client = client_of(world.settings)
    client.delete_model_version(world.name, two)
    told = watch_aliases(world.name, **look)
    assert [(t["what"], t["expected"]) for t in told] == [("taken away", one), ("deleted", two)]
    assert world.roll_back("dev", target=one, expected=None).version == one
    with pytest.raises(RegistryNotFoundError, match="it is deleted"):
        world.roll_back("dev", target=two)


def test_a_server_that_is_away_is_told_in_time():
    registry = open_registry(RegistrySettings(tracking_uri=f"http://127.0.0.1:{free_port()}"))
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        registry.aliases("m")
    assert time.monotonic() - begun < 10
