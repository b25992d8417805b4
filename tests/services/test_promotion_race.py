"""Eight promoters race for one model: one wins, and each of the others is told who."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_ai_provider.core.errors import PromotionConflictError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
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
from tests.services.promotion_registry import FileRegistry

RACERS = 8
FORK = multiprocessing.get_context("fork")


class Race:
    """Rounds, each about a model of its own with versions 1 to 9, of which 2 is in staging.

    Odd racers promote a version each, on a decision from before the race; even ones go back to 1.
    """

    def __init__(self, url, registry, rounds):
        self.store, self.registry, self.rounds = Store(url), registry, rounds
        self.ledger, self.promotions = Ledger(self.store), Promotions(self.store)
        self.decisions = [self._prepare(f"m{place}") for place in range(rounds)]

    def _prepare(self, name):
        for number in range(1, RACERS + 2):
            self.registry.create_version(name, model_uri=f"s3://b/{number}", run_id=None, tags={})
        for version in ("1", "2"):
            override = {"by": "ada", "reason": "the beginning"}
            self._promote(name, version, f"{name} {version}", override=override)
        return {str(n + 2): self._decide(name, n + 2) for n in range(1, RACERS, 2)}

    def _decide(self, name, number):
        draft = GateDraft(
            kind=GateKind.MODEL, subject=f"mlflow://{name}/{number}", verdict=Verdict.PASS
        )
        return self.ledger.append(draft).id

    def _promote(self, name, version, by, **how):
        order = PromotionOrder(model_name=name, version=version, environment="staging", **how)
        return self._go(promote, order, by)

    def _go(self, what, order, by):
        return what(order, promotions=self.promotions, registry=self.registry, key=by, moved_by=by)

    def run(self, place: int, racer: int) -> tuple[str, str | None]:
        """Race in one round; return ``won`` or ``lost``, and to whom."""
        name, by = f"m{place}", f"m{place}/racer{racer}"
        try:
            if racer % 2:
                version = str(racer + 2)
                how = {
                    "decision": self.decisions[place][version],
                    "override": {"by": "ada", "reason": "no test environment here"},
                }
                self._promote(name, version, by, **how)
            else:
                back = RollbackOrder(
                    model_name=name, environment="staging", target="1", expected="2"
                )
                self._go(roll_back, back, by)
        except PromotionConflictError as error:
            return "lost", error.facts["winner"]
        return "won", None

    def check(self, told: list[list[tuple[str, str | None]]]) -> None:
        """Look at what every racer of every round was told, and at what is there."""
        for place, answers in enumerate(told):
            winners = [racer for racer, (how, _) in enumerate(answers) if how == "won"]
            assert len(winners) == 1, answers
            by = f"m{place}/racer{winners[0]}"
            assert [who for how, who in answers if how == "lost"] == [by] * (RACERS - 1)
            kinds = (GateKind.PROMOTION, GateKind.ROLLBACK)
            moves = self.ledger.search(kinds=kinds, subject_prefix=f"mlflow://m{place}/")
            assert [r.evidence["moved_by"] for r in moves][2:] == [by]
            held = self.registry.aliases(f"m{place}")
            assert held == {"staging": moves[-1].evidence["to"]}
            assert check_aliases(f"m{place}", ledger=self.ledger, registry=self.registry) == []
        records, broken = self.ledger.verify()
        assert broken is None
        assert records == len(told) * (2 + len(self.decisions[0]) + 1)


def in_threads(race: Race) -> list[Any]:
    start = threading.Barrier(RACERS)
    told: list[list[Any]] = [[None] * RACERS for _ in range(race.rounds)]

    def racer(number: int) -> None:
        for place in range(race.rounds):
            start.wait(60)
            told[place][number] = race.run(place, number)

    threads = [threading.Thread(target=racer, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def in_processes(race: Race) -> list[Any]:
    start, answers = FORK.Barrier(RACERS), FORK.SimpleQueue()

    def racer(number: int) -> None:
        told = []
        for place in range(race.rounds):
            start.wait(60)
            told.append(race.run(place, number))
        answers.put((number, told))

    processes = [FORK.Process(target=racer, args=(number,)) for number in range(RACERS)]
    for process in processes:
        process.start()
    found = dict(answers.get() for _ in processes)
    for process in processes:
        process.join()
    return [[found[number][place] for number in range(RACERS)] for place in range(race.rounds)]


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'ai.db'}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "rounds", [pytest.param(10, id="10"), pytest.param(200, id="200", marks=pytest.mark.faults)]
)
@pytest.mark.parametrize("how", [in_threads, in_processes])
@pytest.mark.parametrize("where", ["sqlite_url", "postgres_url"])
def test_one_wins(
    where: str, how: Callable[[Race], Any], rounds: int, request: Any, tmp_path: Any
) -> None:
    url = request.getfixturevalue(where)
    migrate(Store(url))
    race = Race(url, FileRegistry(tmp_path / "registry.db"), rounds)
    race.check(how(race))
