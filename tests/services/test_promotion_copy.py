"""A copy on another server: whole or not at all, the same bytes, with its lineage."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.model_tree import sha256_of
from airflow_ai_provider.core.errors import (
    ModelCopyError,
    PromotionError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.promotion.copying import (
    COPY_TAG,
    MANIFEST_TAG,
    SOURCE_TAG,
    manifest_digest,
    safe_path,
)
from airflow_ai_provider.services.promotion import CopyOrder, PromotionOrder, copy_model, promote
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import memory_store
from tests.services.kills import Boundaries, WatchedPort, in_a_process, watched_store
from tests.services.model_server import FolderServer

FILES = {"MLmodel": b"signature: yes\n", "data/model.bin": bytes(range(256)), "empty": b""}
TAGS = {"team": "vision", "airflow_ai.candidate": "boosting", "mlflow.user": "ada"}


class World:
    """Version 1 of ``m`` on one server, a second server, a store."""

    def __init__(self, folder, store=None, boundary=None):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.one, self.two = FolderServer(folder / "one"), FolderServer(folder / "two")
        self.store = store or memory_store()
        self.ledger = Ledger(self.store)
        self.boundary = boundary

    def copy(self, version="1", *, by="d/r/copy", patience=0.0, **more):
        watch = (lambda port: WatchedPort(port, self.boundary)) if self.boundary else lambda p: p
        return copy_model(
            CopyOrder(**{"model_name": "m", "version": version, "target_name": "prod.m", **more}),
            source=watch(self.one),
            target=watch(self.two),
            registry=watch(self.two.registry),
            ledger=self.ledger,
            copied_by=by,
            work=self.folder / "work",
            patience=patience,
        )

    def versions(self):
        return self.two.registry.find_versions("prod.m")


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "w")
    made.one.make("m", FILES, TAGS)
    return made


def test_everything_goes_along(world):
    done = world.copy(project="p")
    (version,) = world.versions()
    assert world.two.content(version.run_id) == FILES
    run = world.two.run(version.run_id)
    assert (run["metrics"], run["params"]) == ({"auc": 0.7}, {"depth": "3"})
    assert set(version.tags) == {
        "team",
        COPY_TAG,
        SOURCE_TAG,
        MANIFEST_TAG,
        "airflow_ai.source_run",
    }
    assert version.tags[SOURCE_TAG] == f"mlflow://m/1 on {world.folder / 'one'}"
    assert (done.version, done.source.version) == (version, "1")
    record = done.record
    assert (record.kind, record.subject) == ("promotion", "mlflow://prod.m/1")
    assert record.evidence["copied_from"]["subject"] == "mlflow://m/1"
    assert record.evidence["manifest"] == version.tags[MANIFEST_TAG]
    assert (record.evidence["files"], record.evidence["bytes"]) == (3, 271)
    assert list((world.folder / "work").iterdir()) == [], "nothing is left behind"


def test_the_manifest_is_of_names_and_bytes(world, tmp_path):
    digests = {}
    for path, content in FILES.items():
        (tmp_path / "f").write_bytes(content)
        digests[path] = sha256_of(tmp_path / "f")
    assert world.copy().version.tags[MANIFEST_TAG] == manifest_digest(digests)


def test_the_same_again_is_found(world):
    first = world.copy()
    world.two.calls.clear()
    again = world.copy()
    assert (again.version, again.record) == (first.version, first.record)
    assert world.two.calls == []
    assert len(world.versions()) == 1


def test_a_copy_that_stopped_goes_on_where_it_was(world):
    world.two.away_after = 8  # within the files
    with pytest.raises(RegistryUnavailableError):
        world.copy()
    assert world.versions() == []
    world.two.away_after = None
    fetched, stored = (s.calls.count(w) for s, w in ((world.one, "fetch"), (world.two, "store")))
    assert (fetched, stored) == (3, 2)
    world.copy()
    assert world.one.calls.count("fetch") == 3, "fetched once"
    assert world.two.calls.count("start_copy") == 1
    assert world.two.calls.count("store") <= 4
    assert world.two.content(world.versions()[0].run_id) == FILES


def test_a_file_that_was_spoilt_on_its_way_makes_no_version(world):
    world.two.spoil = {"data/model.bin": 1}
    with pytest.raises(ModelCopyError, match=r"data/model.bin of mlflow://m/1 .* arrived changed"):
        world.copy()
    assert world.versions() == []
    assert world.ledger.search() == []
    world.copy()
    assert world.two.content(world.versions()[0].run_id) == FILES


def test_a_source_changed_since_it_was_copied_there_is_refused(world):
    world.copy()
    run_id = world.versions()[0].run_id
    (world.two.folder / "runs" / run_id / "model" / "MLmodel").write_bytes(b"signature: no!\n")
    with pytest.raises(ModelCopyError, match="are not those that were once copied there"):
        copy_model(
            CopyOrder(model_name="prod.m", version="1", target_name="third.m"),
            source=world.two,
            target=world.one,
            registry=world.one.registry,
            ledger=world.ledger,
            copied_by="d/r/on",
            work=world.folder / "work",
        )
    assert world.one.registry.find_versions("third.m") == []


def test_what_cannot_be_copied(world):
    with pytest.raises(ModelCopyError, match="needs a name of its own"):
        world.copy(target_name="m")
    with pytest.raises(RegistryNotFoundError):
        world.copy("9")
    world.one.make("m", {}, {})
    with pytest.raises(ModelCopyError, match="has no files"):
        world.copy("2")

    class Pending(FolderServer):
        def describe(self, name, version):
            return replace(super().describe(name, version), status="PENDING_REGISTRATION")

    world.one = Pending(world.one.folder)
    with pytest.raises(ModelCopyError, match="is PENDING_REGISTRATION, not READY"):
        world.copy()
    assert world.versions() == []


def test_a_file_that_comes_short_is_not_taken(world):
    class Short(FolderServer):
        def fetch(self, name, version, path, into):
            super().fetch(name, version, path, into)
            into.write_bytes(into.read_bytes()[:-1])

    world.one = Short(world.one.folder)
    with pytest.raises(ModelCopyError, match="with 14 of 15 bytes"):
        world.copy()


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "", "a\0b"])
def test_a_path_that_leads_elsewhere(path):
    with pytest.raises(ModelCopyError, match="outside the model"):
        safe_path(path)


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_a_safe_path_stays_under_its_folder(path):
    try:
        found = safe_path(path)
    except ModelCopyError:
        return
    assert not found.is_absolute()
    assert ".." not in found.parts


def test_a_copy_goes_on_from_where_its_source_was(world):
    """It is promoted on the decision about its source, along the steps that its source took."""
    done = world.copy()
    promotions = Promotions(world.store)

    def go(registry, name, environment, **how):
        order = PromotionOrder(model_name=name, version="1", environment=environment, **how)
        return promote(
            order,
            promotions=promotions,
            registry=registry,
            key=f"{name} {environment}",
            moved_by="t",
        )

    draft = GateDraft(kind=GateKind.MODEL, subject="mlflow://m/1", verdict=Verdict.PASS)
    decision = world.ledger.append(draft).id
    with pytest.raises(PromotionError, match="was never in staging"):
        go(world.two.registry, "prod.m", "production", decision=decision)
    for environment in ("dev", "test", "staging"):
        go(world.one.registry, "m", environment, decision=decision)
    moved = go(world.two.registry, "prod.m", "production", decision=decision)
    assert moved.record.verdict == "pass"
    assert world.two.registry.aliases("prod.m") == {"production": done.version.version}


@pytest.mark.slow
def test_killed_anywhere_it_is_finished_by_its_retry(tmp_path):
    template = tmp_path / "template"
    migrate(Store(f"sqlite:///{tmp_path / 'ai.db'}"))
    World(template).one.make("m", FILES, TAGS)
    shutil.copy(tmp_path / "ai.db", template)

    def world(number, boundary=None):
        folder = tmp_path / f"w{number}"
        if not folder.exists():
            shutil.copytree(template, folder)
        url = f"sqlite:///{folder / 'ai.db'}"
        store = watched_store(url, boundary) if boundary else Store(url)
        return World(folder, store, boundary)

    counted = Boundaries()
    world("counted", counted).copy()
    assert {"after store", "after create_version", "before commit"} <= set(counted.passed)
    for die_at, name in enumerate(counted.passed):
        doomed = world(die_at, Boundaries(die_at))
        assert in_a_process(doomed.copy) == -signal.SIGKILL, name
        left = world(die_at)
        for half in left.versions():
            assert left.two.content(half.run_id) == FILES, name
        done = left.copy()
        assert [v.version for v in left.versions()] == ["1"], name
        assert left.two.content(done.version.run_id) == FILES, name
        assert [r.subject for r in left.ledger.search()] == ["mlflow://prod.m/1"], name
        assert len(list((left.two.folder / "runs").iterdir())) == 1, name
        left.store.close()
