"""A model on an MLflow that asks who is there, a ledger, and the operators as users run them."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.mlflow import RegistrySettings, open_registry
from airflow_ai_provider.adapters.mlflow_files import EXPERIMENT
from airflow_ai_provider.adapters.mlflow_http import API, MlflowHttp
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.operators.promotion import (
    ModelCopyOperator,
    ModelGateOperator,
    ModelPromoteOperator,
    ModelRollbackOperator,
    PromotionApprovalOperator,
)
from airflow_ai_provider.services.promotion import CopyOrder, copy_model
from airflow_ai_provider.services.promotion.copy_turn import CopyTurn
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from tests.edge.faulty_proxy import Proxy
from tests.edge.promotion_scene import connection, context_of
from tests.mlflow_server import ADMIN, ADMIN_PASSWORD

Act = Callable[[], Any]
PASSWORD = "a-password-of-a-user"
ANYHOW = {"by": "ada", "reason": "no other environment here"}
FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": bytes(range(200))}


class Users:
    """The users of one server: ``editor`` makes models and so manages them, ``reader`` reads.

    All may write where the runs of copies are: else it is his who copies first.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = MlflowHttp(
            RegistrySettings(tracking_uri=url, username=ADMIN, password=ADMIN_PASSWORD, timeout=60)
        )
        made = self.admin.ask("POST", "experiments/create", {"name": EXPERIMENT})
        for name in ("editor", "reader", "mover"):
            self.create(name)
            self._grant(name, "experiment", made["experiment_id"], "EDIT")

    def create(self, name: str, password: str = PASSWORD) -> None:
        self.admin.ask("POST", "users/create", {"username": name, "password": password})

    def grant(self, name: str, model: str, permission: str) -> None:
        self._grant(name, "registered_model", model, permission)

    def _grant(self, name: str, kind: str, what: str, permission: str) -> None:
        said = {
            "username": name,
            "resource_type": kind,
            "resource_id": what,
            "permission": permission,
        }
        self.admin.ask("POST", "users/permissions/grant", said, api="/api/3.0/mlflow")


class Scene:
    """A model with two versions that ``editor`` made, each of a run with files of its own.

    ``hands`` is the registry as somebody outside Airflow reaches it; the tasks go by ``proxy``.
    """

    def __init__(
        self, users: Users, proxy: Proxy, ledger: Ledger, folder: Path, monkeypatch: Any
    ) -> None:
        self.users, self.proxy, self.ledger, self.folder = users, proxy, ledger, folder
        self._monkeypatch = monkeypatch
        self.name = f"m{uuid.uuid4().hex[:10]}"
        settings = RegistrySettings(
            tracking_uri=users.url, username="editor", password=PASSWORD, timeout=60
        )
        self.hands, self.http = open_registry(settings), MlflowHttp(settings)
        self.connect()
        made = self.http.ask("POST", "experiments/create", {"name": self.name})
        self.experiment = made["experiment_id"]
        self.hands.create_model(self.name)
        self.runs = [self.version() for _ in range(2)]

    def connect(self, login: str | None = "editor", password: str = PASSWORD, **extra: Any) -> None:
        """Let the tasks come as this user from now on."""
        said = {"login": login, "password": password} if login else {}
        self._connection("MLFLOW_DEFAULT", self.proxy.url, said, extra)

    def connect_directly(self) -> None:
        """Let the tasks come as the editor, and not by the proxy."""
        said = {"login": "editor", "password": PASSWORD}
        self._connection("MLFLOW_DEFAULT", self.users.url, said, {})

    def target(self, login: str, *, by_proxy: bool = False) -> None:
        """Let copies be made as this user."""
        said = {"login": login, "password": PASSWORD}
        self._connection("TARGET", self.proxy.url if by_proxy else self.users.url, said, {})

    def _connection(self, name: str, host: str, said: Any, extra: Any) -> None:
        found = connection(host=host, **said, extra={"timeout": 4, **extra})
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{name}", found)

    # --- what is there -------------------------------------------------------------------------

    def version(self, name: str | None = None) -> str:
        """Make a run with files and a version of it, and return the run."""
        said = {"experiment_id": self.experiment, "start_time": int(time.time() * 1000)}
        run = self.http.part(self.http.ask("POST", "runs/create", said), "run")["info"]
        for path, content in FILES.items():
            self.write(run["run_id"], path, content)
        self.hands.create_version(
            name or self.name,
            model_uri=f"{run['artifact_uri']}/model",
            run_id=run["run_id"],
            tags={},
        )
        return str(run["run_id"])

    def write(self, run_id: str, path: str, content: bytes) -> None:
        """Store a file of a run's model, whatever was there."""
        self._file("PUT", run_id, path, content)

    def remove(self, run_id: str, path: str) -> None:
        """Delete a file of a run's model."""
        self._file("DELETE", run_id, path, None)

    def _file(self, method: str, run_id: str, path: str, content: bytes | None) -> None:
        pair = base64.b64encode(f"editor:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"{self.users.url}{API}-artifacts/artifacts/"
            f"{self.experiment}/{run_id}/artifacts/model/{path}",
            data=content,
            headers={"Authorization": f"Basic {pair}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200

    def digest(self, version: str = "1") -> str:
        """Return the digest of a version's files, as they are now."""
        return self.hands.artifact_digest(self.name, version)

    def delete_version(self, version: str) -> None:
        self.http.ask("DELETE", "model-versions/delete", {"name": self.name, "version": version})

    def aliases(self) -> dict[str, str]:
        return self.hands.aliases(self.name)

    # --- what was decided ----------------------------------------------------------------------

    def decide(
        self, version: str = "1", *, verdict: Verdict = Verdict.PASS, **evidence: Any
    ) -> str:
        """Write a model gate's record and return its id."""
        draft = GateDraft(
            kind=GateKind.MODEL,
            subject=f"mlflow://{self.name}/{version}",
            verdict=verdict,
            evidence={"evidence_hash": "e" * 64, **evidence},
        )
        return self.ledger.append(draft).id

    def approve(
        self, *, verdict: Verdict = Verdict.PASS, by: str = "sponsor", **evidence: Any
    ) -> str:
        """Write an approval's record and return its id."""
        draft = GateDraft(
            kind=GateKind.APPROVAL,
            subject=f"mlflow://{self.name}/1",
            verdict=verdict,
            evidence={"evidence_hash": "e" * 64, "submitter": "ml", **evidence},
            decided_by=by,
        )
        return self.ledger.append(draft).id

    # --- what the tasks do ---------------------------------------------------------------------

    def promoting(self, environment: str = "dev", version: str = "1", **said: Any) -> Act:
        said = {"task_id": f"to_{environment}_{version}", **said}
        said = {"model_name": self.name, **said}
        operator = ModelPromoteOperator(version=version, environment=environment, **said)
        return lambda: operator.execute(context_of(operator))

    def going_back(self, environment: str = "dev", **said: Any) -> Act:
        operator = ModelRollbackOperator(
            **{
                "task_id": "back",
                "model_name": self.name,
                "environment": environment,
                **said,
            }
        )
        return lambda: operator.execute(context_of(operator))

    def copying(self, version: str = "1", **said: Any) -> Act:
        """Copy to another name on the same server, as its editor, and not by the proxy."""
        self.target("editor")
        operator = ModelCopyOperator(
            **{
                "task_id": "copy",
                "model_name": self.name,
                "version": version,
                "target_name": f"prod.{self.name}",
                "mlflow_conn_id": "target",
                "work_dir": str(self.folder / "work"),
                **said,
            }
        )
        return lambda: operator.execute(context_of(operator))

    def copying_beside_another(self) -> Act:
        """Copy while another task does, with no patience."""
        files, promotions = ModelRegistryHook().get_files(), Promotions(self.ledger.store)
        model = files.describe(self.name, "1")
        CopyTurn(model, "d/r/other", promotions, 0.0).__enter__()
        return lambda: copy_model(
            CopyOrder(model_name=self.name, version="1", target_name=f"prod.{self.name}"),
            source=files,
            target=files,
            registry=self.hands,
            ledger=self.ledger,
            copied_by="d/r/mine",
            patience=0.0,
        )

    def judging(self, criteria: Any, **evidence: Any) -> Act:
        said = {"model_name": self.name, "version": "1", "run_id": self.runs[0], **evidence}
        operator = ModelGateOperator(task_id="judge", evidence=said, criteria=criteria)
        return lambda: operator.execute(context_of(operator))

    def answering(
        self, *, asked: str | None = None, by: str | None = "sponsor", **said: Any
    ) -> Act:
        """Answer yes to the question for approval; ``asked`` is what was shown."""
        event = {
            "chosen_options": ["Approve"],
            "params_input": {"comment": said.pop("comment", None)},
            "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "responded_by_user": {"id": by, "name": by} if by else None,
        }
        operator = self._question(**said)
        pushed = {"asked": asked or self.fingerprint(**said)}
        return lambda: operator.execute_complete(context_of(operator, pushed=pushed), event)

    def asking(self, *, user: str | None = "ml", **said: Any) -> Act:
        operator = self._question(**said)
        return lambda: operator.execute(context_of(operator, user=user))

    def fingerprint(self, **said: Any) -> str:
        operator = self._question(**said)
        return operator._request(context_of(operator)).fingerprint

    def _question(self, **said: Any) -> PromotionApprovalOperator:
        return PromotionApprovalOperator(
            **{
                "task_id": "approve",
                "subject": "May it go?",
                "evidence": {"model_name": self.name, "version": "1"},
                "assigned_users": ["sponsor", "ml"],
                **said,
            }
        )


def connection_of_store(url: str) -> str:
    return json.dumps({"conn_type": "ai_store", "extra": {"url": url}})
