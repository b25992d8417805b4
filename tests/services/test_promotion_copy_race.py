"""Several tasks copy the same version at once: one makes it, the others find it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError, RegistryUnavailableError
from airflow_ai_provider.services.promotion import CopyOrder, copy_model
from airflow_ai_provider.services.promotion.copy_turn import CopyTurn
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from tests.services.model_server import FolderServer

FILES = {"MLmodel": b"signature: yes\n", "data/model.bin": bytes(range(256))}


class World:
    """Version 1 of ``m`` on one server, and a second server."""

    def __init__(self, folder, store):
        self.folder, self.ledger = folder, Ledger(store)
        self.one, self.two = FolderServer(folder / "one"), FolderServer(folder / "two")
        self.one.make("m", FILES, {})

    def copy(self, by, *, target_name="prod.m", patience=0.0):
        return copy_model(
            CopyOrder(model_name="m", version="1", target_name=target_name),
            source=FolderServer(self.folder / "one"),
            target=FolderServer(self.folder / "two"),
            registry=self.two.registry,
            ledger=self.ledger,
            copied_by=by,
            work=self.folder / "work",
            patience=patience,
        )

    def turn(self, by, *, limit=timedelta(minutes=10)):
        model = self.one.describe("m", "1")
        return CopyTurn(model, by, Promotions(self.ledger.store, claim_limit=limit), 0.0)

    def versions(self, name="prod.m"):
        return [version.version for version in self.two.registry.find_versions(name)]


@pytest.fixture
def world(store, tmp_path):
    return World(tmp_path, store)


def test_of_six_tasks_one_copies_and_all_have_it(world):
    start, found, names = threading.Barrier(6), [], ["prod.m", "prod.m", "other.m"]

    def task(number):
        start.wait()
        name = names[number % 3]
        done = world.copy(f"d/r/copy{number}", target_name=name, patience=60.0)
        found.append((name, done.version.version, done.record.id))

    tasks = [threading.Thread(target=task, args=(number,)) for number in range(6)]
    for each in tasks:
        each.start()
    for each in tasks:
        each.join()
    assert len(found) == 6
    assert len(set(found)) == 2, "one version and one record for each name"
    assert (world.versions(), world.versions("other.m")) == (["1"], ["1"])
    assert len(list((world.folder / "two" / "runs").iterdir())) == 1


def test_who_comes_while_another_copies_is_told_who(world):
    with (
        world.turn("d/r/one"),
        pytest.raises(PromotionConflictError, match=r"d/r/one .* is copying mlflow://m/1") as told,
    ):
        world.copy("d/r/two")
    assert told.value.facts["in_progress"]
    assert world.versions() == []
    assert world.copy("d/r/two").version.version == "1"


def test_a_dead_task_leaves_its_turn_to_its_retry_at_once_and_to_others_later(world):
    world.turn("d/r/one").__enter__()
    with pytest.raises(PromotionConflictError):
        world.turn("d/r/two").__enter__()
    with world.turn("d/r/two", limit=timedelta(seconds=-1)):
        pass
    world.turn("d/r/one").__enter__()
    assert world.copy("d/r/one").version.version == "1"


def test_what_is_left_of_an_earlier_try_makes_no_version(world):
    earlier = world.turn("d/r/one")
    earlier.__enter__()
    with world.turn("d/r/one") as later:
        with pytest.raises(PromotionConflictError, match="was taken over meanwhile"):
            earlier.make(lambda: pytest.fail("a second version"))
        earlier.__exit__(None, None, None)  # what it leaves is not its own
        assert later.make(lambda: "made") == "made"


def test_a_server_that_was_away_while_it_made_the_version_leaves_the_turn_to_the_retry(world):
    def away():
        raise RegistryUnavailableError("Nobody knows whether there is a version.")

    with pytest.raises(RegistryUnavailableError), world.turn("d/r/one") as turn:
        turn.make(away)
    with pytest.raises(PromotionConflictError):
        world.copy("d/r/two")
    assert world.copy("d/r/one").version.version == "1"
    assert world.copy("d/r/two").version.version == "1"
