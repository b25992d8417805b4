"""A store with a project that only its sponsor and Airflow's operators may see, beside an open one.

Everything that belongs to the hidden ones carries a word that appears nowhere else.
"""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.gate import Criterion, GateKind, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.lifecycle.visible import Viewer
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.model_places import keep_place
from airflow_ai_provider.store.schema import promotion_state
from airflow_ai_provider.testing import fake_devices
from tests.services.project_scene import criterion, decide, note, plan_of

PROJECT, MODEL, DATA = "xmergers", "xbids", "xdeals"
OPEN_PROJECT, FEW = "open_project", "xquiet"  # a model of the open project, for fewer people
WORDS = (PROJECT, MODEL, DATA, FEW)
SPONSOR = Viewer(users=frozenset({"anna"}))
OPERATOR = Viewer(roles=frozenset({"OP"}))
STRANGER = Viewer(users=frozenset({"eve", "sponsor"}), roles=frozenset({"viewer", "sponsor"}))


def fill_hidden(store: Store) -> dict[str, str]:
    """Put both projects into ``store``; return the ids of what a page may be asked for."""
    open_plan = _plan(OPEN_PROJECT, uses=[_use("open_model"), _use(FEW, ["role:Op"])])
    open_plan["kpis"] += [
        {"name": "score", "kind": "quality", "target": "at least 4",
         "measure": {"feedback": {"model": FEW, "metric": "coverage"}, "at_least": 0.5}},
        {"name": "speed", "kind": "operations", "target": "soon"},
    ]  # fmt: skip
    open_plan["risks"] = [_risk("drift", "score"), _risk("slow", "speed")]
    note(store, open_plan)
    note(store, _plan(PROJECT, uses=[_use(MODEL)], visible_to=["sponsor", "role:Op"], data=DATA))
    said = (
        _criterion(FEW, f"{FEW} is no better than before."),
        _criterion("open_model", "open_model has no card."),
    )
    decide(store, f"project://{OPEN_PROJECT}/pilot", verdict=Verdict.FAIL, criteria=said,
           admitted=["open_model", FEW], summary=f"{FEW} fails.")  # fmt: skip
    decide(store, f"project://{PROJECT}/pilot", criteria=(_criterion("a", "All is well."),))
    ids = {"gate": decide(store, f"mlflow://{MODEL}/1", kind=GateKind.MODEL)}
    decide(store, f"mlflow://{FEW}/1", kind=GateKind.MODEL)
    decide(store, "mlflow://open_model/1", kind=GateKind.MODEL)
    decide(store, f"mlflow://{MODEL}@production", kind=GateKind.DRIFT, verdict=Verdict.FAIL)
    decide(store, f"mlflow://{MODEL}/1", kind=GateKind.RETRAIN)
    ids["data"] = decide(store, f"ai-data://{DATA}/2026", kind=GateKind.DATA)
    for model in (MODEL, FEW, "open_model"):
        _move(store, model)
        MetricSeries(store).write([_point(model, metric) for metric in ("mos", "coverage")])
    ids["lease"] = _hold(store)
    queue = ExceptionQueue(store)
    findings = [
        Finding(model_name=model, prediction_id=f"{model}-p", reason=Reason.DISPUTED, urgency=0.5)
        for model in (MODEL, "open_model")
    ]
    queue.add(findings, Asking(labels={"yes": 1, "no": 0}, dag_id="d"))
    [case] = queue.find(model_name=MODEL)
    return {**ids, "case": case.id}


def _plan(
    name: str, *, uses: list[dict[str, Any]], visible_to: list[str] | None = None, data: str = ""
) -> dict[str, Any]:
    plan = plan_of(name=name, title=f"About {name}", visible_to=visible_to, risks=[])
    plan["people"] = {"sponsor": {"user": "anna"}}
    plan["milestones"], plan["use_cases"] = [], uses
    if data:
        plan["data_sources"] = [{**plan["data_sources"][0], "name": data}]
    return plan


def _use(name: str, visible_to: list[str] | None = None) -> dict[str, Any]:
    return {"name": name, "title": f"What of {name}?", "value": 3, "feasibility": 3, "pilot": True,
            "data_source": "anything", "visible_to": visible_to}  # fmt: skip


def _risk(name: str, kpi: str) -> dict[str, Any]:
    return {"name": name, "likelihood": 2, "impact": 3, "owner": "sponsor", "mitigation": "look",
            "trigger": {"kpi": kpi, "below": 3.0}}  # fmt: skip


def _criterion(name: str, sentence: str) -> Criterion:
    return criterion(name, Verdict.FAIL, 0.5, sentence)


def _move(store: Store, model: str) -> None:
    record = decide(store, f"mlflow://{model}/1", kind=GateKind.PROMOTION,
                    environment="production", to="1", why=f"{model} is good")  # fmt: skip
    kept = Ledger(store).get(record)
    with store.write() as connection:
        connection.execute(promotion_state.insert().values(model_name=model, revision=0))
        keep_place(connection, model, kept)


def _point(model: str, metric: str) -> dict[str, Any]:
    return {"model_name": model, "model_version": "1", "partition": "2026-01", "slice": "",
            "metric": metric, "value": 3.5, "low": 3.0, "high": 4.0, "n": 9}  # fmt: skip


def _hold(store: Store) -> str:
    """Let the hidden project hold the one device and wait for another; return the lease."""
    gpu = GpuStore(store, Host(name="hidden-box", boot_id="b"))
    asked = [
        gpu.ask(
            Ticket(
                holder=f"{PROJECT}.train.{number}",
                request=GpuRequest(gpus=1, project=PROJECT),
                host="hidden-box",
            ),
            process=Process(pid=number, start=1, uid=0),
            devices=fake_devices(1, host="hidden-box"),
        )
        for number in (1, 2)
    ]
    assert asked[0].lease is not None
    return asked[0].lease.id
