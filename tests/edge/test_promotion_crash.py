"""An operator's process killed at each request to the registry: its retry tells the one story."""

from __future__ import annotations

import os
import signal

import pytest

from airflow_ai_provider.assets import model_asset
from airflow_ai_provider.operators.promotion import ModelPromoteOperator, ModelRollbackOperator
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import FakeRegistry
from tests.edge.promotion_scene import connection, context_of, serving
from tests.services.kills import in_a_process
from tests.services.promotion_registry import tags_of

pytestmark = pytest.mark.slow

WHERE = {"model_name": "flights", "environment": "dev"}
WAYS = {
    "promotion": lambda: ModelPromoteOperator(task_id="move", version="3", **WHERE),
    "rollback": lambda: ModelRollbackOperator(task_id="move", **WHERE),
}
AFTER = {
    "promotion": ("3", {"1": "past", "2": "past", "3": "live"}),
    "rollback": ("1", {"1": "live", "2": "rolled back"}),
}


class Killer:
    """Counts what is asked; at the request numbered ``at`` it kills who asks."""

    def __init__(self):
        self.pid_file, self.at, self.told = None, None, []

    def __call__(self, when, call):
        if len(self.told) == self.at:
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)
        self.told.append(f"{when} {call}")


def killed_at(killer, kind, at):
    killer.at, killer.told = at, []

    def run():
        killer.pid_file.write_text(str(os.getpid()))
        operator = WAYS[kind]()
        operator.execute(context_of(operator))

    return in_a_process(run)


@pytest.fixture
def killer(tmp_path):
    made = Killer()
    made.pid_file = tmp_path / "pid"
    return made


@pytest.mark.parametrize("kind", WAYS)
def test_the_retry_of_a_killed_task(tmp_path, monkeypatch, killer, kind):
    version, tags = AFTER[kind]
    at, requests = -1, 1
    while at < requests:
        url = f"sqlite:///{tmp_path / f'{at}.db'}"
        monkeypatch.setenv(
            "AIRFLOW_CONN_AI_STORE_DEFAULT", connection(extra={"url": url}, conn_type="ai_store")
        )
        ledger, registry = Ledger(Store.open(url)), FakeRegistry()
        registry.create_model("flights")
        for place in range(3):
            registry.create_version("flights", model_uri=f"m{place}", run_id=None, tags={})
        with serving(registry, killer) as address:
            monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host=address))
            killer.at = None
            for before in ("1", "2"):
                operator = ModelPromoteOperator(task_id=f"to{before}", version=before, **WHERE)
                operator.execute(context_of(operator))
            ended = killed_at(killer, kind, at)
            assert ended == (0 if at < 0 else -signal.SIGKILL), killer.told
            requests = len(killer.told) if at < 0 else requests
            killer.at = None
            operator = WAYS[kind]()
            context = context_of(operator, try_number=2)
            result = operator.execute(context)
        moves = ledger.search()
        assert [(r.kind, r.evidence["to"]) for r in moves[2:]] == [(kind, version)]
        assert result == {
            **WHERE,
            "version": version,
            "previous": "2",
            "record": moves[2].id,
        }
        assert context["outlet_events"][model_asset("flights", "dev")].extra == result
        assert registry.aliases("flights") == {"dev": version}
        assert tags_of(registry, "flights", "airflow_ai.dev") == tags
        at += 1
    assert requests >= 12
