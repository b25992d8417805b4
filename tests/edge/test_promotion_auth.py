"""Every refusal of a promotion, on a real MLflow over HTTP that asks who is there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.triggers.promotion import ModelVersionTrigger
from tests.edge.faulty_proxy import proxied
from tests.edge.guarded_scene import Scene, Users, connection_of_store
from tests.edge.refusal_sites import met_by, sites
from tests.edge.refusals import CASES, MOVE, Case
from tests.mlflow_server import guarded_mlflow_running

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MOVES = (GateKind.PROMOTION, GateKind.ROLLBACK)

# Refusals that no server takes part in: the tests that meet them, and what these look for.
ELSEWHERE = {
    "adapters/mlflow.py:client_of#1": ("adapters/test_promotion_rest.py", "is not installed"),
    "adapters/mlflow_artifacts.py:client_digest#1": (
        "services/test_promotion_mlflow.py",
        "has no files",
    ),
    "core/promotion/approval.py:user_names#1": (
        "core/test_promotion_approval.py",
        "is no user name",
    ),
    "operators/_gate.py:check_on_fail#1": ("edge/test_promotion_gate.py", "Choose one of"),
    "operators/_gate.py:check_on_fail#2": ("edge/test_promotion_gate.py", "names no task"),
    "services/promotion/judging.py:read_rows#1": (
        "services/test_promotion_card.py",
        "changed since",
    ),
    "services/promotion/measuring.py:_seconds#1": (
        "edge/test_promotion_evidence.py",
        "is no time limit",
    ),
    "services/promotion/measuring.py:measure_evidence#1": (
        "edge/test_promotion_evidence.py",
        "lacks model_uri",
    ),
    "services/promotion/measuring.py:measure_evidence#2": (
        "edge/test_promotion_evidence_mlflow.py",
        "cannot be asked for",
    ),
    "store/evidence.py:get#1": ("store/test_evidence.py", "no evidence"),
    "store/ledger.py:get#1": ("store/test_ledger.py", "no gate record"),
}
NOBODY_CAN_MEET = {"store/ledger.py:append_in#1": "the head is locked since it was read"}


@pytest.fixture(scope="session")
def users(tmp_path_factory):
    """The users of a server of this test run's own."""
    with guarded_mlflow_running(tmp_path_factory.mktemp("guarded")) as url:
        yield Users(url)


@pytest.fixture
def scene(users, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'ai.db'}"
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", connection_of_store(url))
    for variable, value in (("MAX_RETRIES", "1"), ("BACKOFF_FACTOR", "0"), ("TIMEOUT", "10")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{variable}", value)
    with proxied(users.url) as proxy:
        yield Scene(users, proxy, Ledger(Store.open(url)), tmp_path, monkeypatch)


def state(scene):
    """Return what must stay as it was: the aliases, the moves on record, and no copy."""
    known = [v.version for v in scene.hands.find_versions(f"prod.{scene.name}")]
    found = scene.hands.find_versions(scene.name)
    aliases = scene.aliases() if found else {}
    return aliases, [record.id for record in scene.ledger.search(kinds=MOVES)], known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused(scene: Scene, case: Case) -> None:
    act = case.set_scene(scene)
    before = state(scene)
    with pytest.raises((AirflowAiError, AirflowException)) as caught:
        act()
    assert re.search(case.says, str(caught.value), re.DOTALL), caught.value
    assert set(case.sites) <= met_by(caught.value)
    assert case.moves or state(scene) == before


def test_every_refusal_has_its_case() -> None:
    met = {site for case in CASES for site in case.sites}
    assert met.isdisjoint(ELSEWHERE)
    assert met | set(ELSEWHERE) | set(NOBODY_CAN_MEET) == {site.name for site in sites()}


@pytest.mark.parametrize("site", ELSEWHERE)
def test_what_is_met_elsewhere_is_met_there(site: str) -> None:
    file, looked_for = ELSEWHERE[site]
    assert looked_for in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")


def test_a_trigger_that_is_not_let_in_fires_an_error(scene: Scene) -> None:
    scene.connect(password="not-the-password")

    async def first():
        async for event in ModelVersionTrigger(model_name=scene.name).run():
            return event.payload
        return None

    assert "does not let this user in (401)" in asyncio.run(first())["error"]


def test_after_a_server_was_away_half_way_the_retry_finishes(scene: Scene) -> None:
    """The alias was moved and the answer was lost, for longer than the client is patient."""
    scene.proxy.on(*MOVE, cut=True)
    act = scene.promoting()
    with pytest.raises(AirflowAiError, match="does not answer"):
        act()
    assert scene.aliases() == {"dev": "1"}
    assert scene.ledger.search(kinds=MOVES) == []
    scene.proxy.rules.clear()
    assert act()["version"] == "1"
    assert [record.evidence["to"] for record in scene.ledger.search(kinds=MOVES)] == ["1"]


def test_a_busy_server_is_asked_again(scene: Scene) -> None:
    for method, path in (("GET", "registered-models/get"), MOVE, ("POST", "set-tag")):
        scene.proxy.on(method, path, status=429, times=1)
        scene.proxy.on(method, path, status=503, times=1, skip=1)
    assert scene.promoting()()["version"] == "1"


def test_who_may_move_moves_and_what_was_judged_is_looked_at_again(scene: Scene) -> None:
    scene.users.grant("mover", scene.name, "EDIT")
    scene.connect("mover")
    decision = scene.decide(run_id=scene.runs[0], measured={"artifact_digest": scene.digest()})
    record = scene.ledger.get(scene.promoting(decision=decision)()["record"])
    assert [c["name"] for c in record.criteria][-1] == "artifact"
    assert scene.aliases() == {"dev": "1"}
    scene.hands.set_alias(scene.name, "dev", "1")


def test_a_copy_is_made_and_found_again(scene: Scene) -> None:
    done = scene.copying()()
    assert (done["version"], done["files"], done["bytes"]) == ("1", 2, 212)
    assert scene.copying()() == done
    assert scene.hands.artifact_digest(done["model_name"], "1") == scene.digest()
