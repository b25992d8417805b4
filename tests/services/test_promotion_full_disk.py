"""The disk fills up while a promotion is under way: a typed error, and nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.services.promotion import PromotionOrder, promote
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import FakeRegistry

def disk(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

class Registry(FakeRegistry):
    def set_alias(self, *where):
        super().set_alias(*where)
        if sys.argv[2] == "after the move":
            disk(1)

store = Store.open(sys.argv[1])
ledger, registry = Ledger(store), Registry()
registry.create_model("m")
registry.create_version("m", model_uri="x", run_id=None, tags={})

def move():
    promote(
        PromotionOrder(model_name="m", version="1", environment="dev"),
        promotions=Promotions(store), registry=registry, key="k", moved_by="t",
    )

told = []
if sys.argv[2] == "before the move":
    disk(1)
try:
    move()
except StoreError as error:
    told.append([type(error).__name__, str(error)])
full = [registry.aliases("m").get("dev"), ledger.verify()[0]]
disk(resource.RLIM_INFINITY)
move()
move()
records, broken = ledger.verify()
done = [registry.aliases("m").get("dev"), records, broken]
print(json.dumps({"told": told, "full": full, "done": done}))
"""


@pytest.mark.parametrize(("when", "alias"), [("before the move", None), ("after the move", "1")])
def test_a_full_disk_is_said_and_a_retry_finishes(tmp_path, when, alias):
    url = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, when], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ((name, sentence),) = found["told"]
    assert name == "StoreUnavailableError"
    assert "a change is made whole or not at all" in sentence
    assert found["full"] == [alias, 0]
    assert found["done"] == ["1", 1, None]
