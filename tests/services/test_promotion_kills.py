"""A mover killed at every boundary: alias, tags, ledger and the result agree afterwards, once."""

from __future__ import annotations

import shutil
import signal
from datetime import timedelta

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError
from airflow_ai_provider.services.promotion import (
    PromotionOrder,
    RollbackOrder,
    check_aliases,
    promote,
    roll_back,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.promotion import Promotions
from tests.services.kills import Boundaries, WatchedPort, in_a_process, watched_store
from tests.services.promotion_registry import FileRegistry, tags_of

pytestmark = pytest.mark.slow

AT_ONCE = timedelta(seconds=-1)  # a claim is taken for abandoned


class Scene:
    """Version 2 is in dev, 1 was before; what is done moves it on to 3, or back to 1."""

    def __init__(self, url, registry, name, *, boundary=None):
        self.name = name
        self.store = watched_store(url, boundary) if boundary else Store(url)
        self.registry = WatchedPort(registry, boundary) if boundary else registry
        self.ledger = Ledger(self.store)

    def prepare(self):
        self.registry.create_model(self.name)
        for number in (1, 2, 3, 4):
            self.registry.create_version(
                self.name, model_uri=f"s3://bucket/m{number}", run_id=None, tags={}
            )
        for version in ("1", "2"):
            self.go(version)
        return self

    def go(self, version, **how):
        order = PromotionOrder(model_name=self.name, version=version, environment="dev")
        return self._do(promote, order, key=f"{self.name}:to {version}", by="d/r/go", **how)

    def back(self, version, **how):
        order = RollbackOrder(model_name=self.name, environment="dev", target=version)
        return self._do(roll_back, order, key=f"{self.name}:back {version}", by="d/r/back", **how)

    def _do(self, what, order, *, key, by, claim_limit=timedelta(seconds=90)):
        return what(
            order,
            promotions=Promotions(self.store, claim_limit=claim_limit),
            registry=self.registry,
            key=key,
            moved_by=by,
            patience=0.0,
        )

    def moves(self):
        return [(r.kind, r.evidence["to"]) for r in self.ledger.search()]


def agree(scene, version, moves, tags):
    assert scene.registry.aliases(scene.name) == {"dev": version}
    assert scene.moves() == moves
    assert tags_of(scene.registry, scene.name, "airflow_ai.dev") == tags
    assert scene.ledger.verify()[1] is None
    assert Promotions(scene.store, claim_limit=AT_ONCE).abandoned(scene.name) is None
    assert check_aliases(scene.name, ledger=scene.ledger, registry=scene.registry) == []


BEFORE = [("promotion", "1"), ("promotion", "2")]
WAYS = {
    "promote": ("go", "3", ("promotion", "3"), {"1": "past", "2": "past", "3": "live"}),
    "roll back": ("back", "1", ("rollback", "1"), {"1": "live", "2": "rolled back"}),
}


class Places:
    """The scene as it was made once, copied for each boundary."""

    def __init__(self, folder):
        self.folder = folder / "template"
        self.folder.mkdir()
        scene = self.scene(self.folder)
        migrate(scene.store)
        scene.prepare()
        scene.store.close()
        self.copies = 0

    def scene(self, folder, boundary=None):
        registry = FileRegistry(folder / "registry.db")
        return Scene(f"sqlite:///{folder / 'ai.db'}", registry, "m", boundary=boundary)

    def copy(self):
        self.copies += 1
        return shutil.copytree(self.folder, self.folder.parent / str(self.copies))

    def killed_everywhere(self, way):
        """Yield a scene for each boundary of ``way``, the mover killed there."""
        method, version, _record, _tags = WAYS[way]
        counted = Boundaries()
        getattr(self.scene(self.copy(), counted), method)(version)
        assert {"after set_alias", "after set_tags", "before commit"} <= set(counted.passed)
        for die_at in range(len(counted.passed)):
            folder = self.copy()
            mover = self.scene(folder, Boundaries(die_at))
            ended = in_a_process(lambda mover=mover: getattr(mover, method)(version))
            assert ended == -signal.SIGKILL, counted.passed[die_at]
            scene = self.scene(folder)
            yield scene
            scene.store.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return Places(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("way", WAYS)
def test_its_retry_finishes_it(places, way):
    method, version, record, tags = WAYS[way]
    killed = 0
    for scene in places.killed_everywhere(way):
        done = getattr(scene, method)(version)
        assert (done.previous, done.version) == ("2", version)
        assert getattr(scene, method)(version) == done
        agree(scene, version, [*BEFORE, record], tags)
        killed += 1
    assert killed > 10


@pytest.mark.parametrize("way", WAYS)
def test_the_next_promoter_settles_it(places, way):
    _method, version, record, tags = WAYS[way]
    outcomes, refused = set(), 0
    for scene in places.killed_everywhere(way):
        moved = scene.registry.aliases(scene.name)["dev"] == version
        if Promotions(scene.store, claim_limit=AT_ONCE).abandoned(scene.name):
            with pytest.raises(PromotionConflictError, match="is moving m right now") as caught:
                scene.go("4")  # the claim is young: it may be alive
            assert caught.value.facts["in_progress"]
            refused += 1
        scene.go("4", claim_limit=AT_ONCE)
        between = [record] if moved else []
        before = {**tags, version: "past"} if moved else {"1": "past", "2": "past"}
        agree(scene, "4", [*BEFORE, *between, ("promotion", "4")], {**before, "4": "live"})
        outcomes.add(moved)
    assert outcomes == {True, False}
    assert refused > 5
