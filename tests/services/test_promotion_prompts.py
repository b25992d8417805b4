"""Prompts take the way of models: judged by people, promoted, refused, rolled back, on MLflow.

Each on MLflow over SQLite and on a server over HTTP, on scores from feedback and from traces.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_ai_provider.adapters.mlflow import RegistrySettings, open_registry
from airflow_ai_provider.adapters.mlflow_traces import open_traces
from airflow_ai_provider.core.errors import PromotionError, RegistryNotFoundError
from airflow_ai_provider.operators.model_evidence import TraceEvidenceOperator
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.promotion import (
    PromotionOrder,
    RollbackOrder,
    StoreLife,
    history,
    judge,
    promote,
    roll_back,
)
from airflow_ai_provider.services.promotion.assessing import assess_evidence
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import memory_store

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FEEDBACK = [{"kind": "human_score", "min": 3.5, "min_answers": 5, "bound": "lower"}]
TRACES = [{**FEEDBACK[0], "source": "traces"}]
SCORES = {"1": (5, 4, 5, 4, 5, 4), "2": (4, 5, 5, 5, 5), "3": (5, 1, 2, 5, 2, 1)}


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    """The address of an MLflow without a server."""
    folder = tmp_path_factory.mktemp("prompts")
    before = Path.cwd()
    os.chdir(folder)  # its artifacts go to a folder beside where the process was started
    yield f"sqlite:///{folder / 'mlflow.db'}"
    os.chdir(before)


@pytest.fixture(params=["sqlite", "mlflow_server"])
def application(request):
    """An application that answers by a prompt of three versions."""
    return Application(request.getfixturevalue(request.param))


class Application:
    def __init__(self, uri):
        import mlflow

        mlflow.set_tracking_uri(uri)
        self.settings = RegistrySettings(tracking_uri=uri)
        self.registry = open_registry(self.settings)
        self.name = f"summarise_{uuid.uuid4().hex[:8]}"
        self.experiment = f"app of {self.name}"
        mlflow.set_experiment(self.experiment)
        for words in ("in one sentence", "in three sentences", "at any length"):
            mlflow.genai.register_prompt(self.name, f"Summarise {{{{ text }}}} {words}.")

    def answers(self, version, *scores, assessment="human_score", kind="HUMAN"):
        """Answer once for each score, which somebody gives; return the traces."""
        import mlflow
        from mlflow.entities import AssessmentSource

        traces = []
        for _ in scores:
            with mlflow.start_span("answer") as span:
                mlflow.genai.load_prompt(f"prompts:/{self.name}/{version}")
            traces.append(span.trace_id)
        mlflow.flush_trace_async_logging()
        for number, (trace, score) in enumerate(zip(traces, scores, strict=True)):
            who = AssessmentSource(source_type=kind, source_id=f"person{number}")
            mlflow.log_feedback(trace_id=trace, name=assessment, value=score, source=who)
        return traces

    def assessed(self, version, **said):
        return assess_evidence(
            {"model_name": self.name, "version": version},
            traces=open_traces(self.settings),
            registry=self.registry,
            **said,
        )


def feedback(store, folder, name, version, scores):
    path = folder / f"scores-{version}.jsonl"
    records = [
        {
            "feedback_id": f"{version}:{number}",
            "model_name": name,
            "model_version": version,
            "observed_at": "2026-01-01T00:00:00Z",
            "score": score,
        }
        for number, score in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert FeedbackService(store).ingest(path).stored == len(scores)


@pytest.mark.parametrize("source", ["feedback", "traces"])
def test_one_prompt_goes_on_one_is_refused_one_is_rolled_back(application, source, tmp_path):
    store, name, registry = memory_store(), application.name, application.registry
    ledger, promotions = Ledger(store), Promotions(store)
    said = {"promotions": promotions, "registry": registry, "moved_by": "test"}
    said["decided_by"] = "test"
    for version, scores in SCORES.items():
        if source == "feedback":
            feedback(store, tmp_path, name, version, scores)
        else:
            application.answers(version, *scores)

    def judged(version):
        evidence, criteria = {"model_name": name, "version": version}, FEEDBACK
        if source == "traces":
            evidence, criteria = application.assessed(version), TRACES
        found = judge(evidence, criteria, ledger=ledger, decided_by="test", life=StoreLife(store))
        return found, ledger.append(found.draft).id

    def through(version, decision):
        for environment in ("dev", "test", "staging", "production"):
            order = PromotionOrder(
                model_name=name, version=version, environment=environment, decision=decision
            )
            promote(order, key=f"{version} {environment} {decision}", **said)

    first, decision = judged("1")
    assert first.verdict.lets_pass, first.criteria
    through("1", decision)
    assert registry.aliases(name)["production"] == "1"

    refused, decision = judged("3")
    assert [c.name for c in refused.failed] == ["human_score"]
    assert "[" in refused.failed[0].sentence, "it was measured"
    with pytest.raises(PromotionError, match="refused this version"):
        through("3", decision)
    assert registry.aliases(name)["production"] == "1"

    second, decision = judged("2")
    assert second.verdict.lets_pass
    through("2", decision)
    assert registry.aliases(name)["production"] == "2"

    roll_back(
        RollbackOrder(model_name=name, environment="production", reason="too long"),
        key="back",
        **said,
    )
    assert registry.aliases(name)["production"] == "1"
    told = [i["version"] for i in history(name, ledger=ledger) if i["environment"] == "production"]
    assert told == ["1", "2", "1"]


def test_what_was_said_of_answers_is_summed_up(application):
    import mlflow
    from mlflow.entities import AssessmentSource

    ann = AssessmentSource(source_type="HUMAN", source_id="ann")
    one, two = application.answers("1", 2, 4)
    mlflow.log_feedback(trace_id=one, name="grounded", value="yes", source=ann)
    mlflow.log_feedback(trace_id=two, name="grounded", value=False, source=ann)
    first = mlflow.log_feedback(trace_id=two, name="clear", value=1, source=ann)
    mlflow.override_feedback(trace_id=two, assessment_id=first.assessment_id, value=5, source=ann)
    mlflow.log_feedback(trace_id=two, name="clear", value="rather", source=AssessmentSource("CODE"))
    mlflow.log_expectation(trace_id=one, name="clear", value=3, source=ann)
    application.answers("2", 1, 1, kind="LLM_JUDGE")
    found = application.assessed("1", experiments=[application.experiment])["assessments"]
    assert found["traces"] == 2
    told = {
        (s["name"], s["by"]): (s["answers"], s["traces"], s["mean"], s["unusable"])
        for s in found["found"]
    }
    assert told == {
        ("clear", "code"): (0, 0, None, 1),
        ("clear", "person"): (1, 1, 5.0, 0),
        ("grounded", "person"): (2, 2, 0.5, 0),
        ("human_score", "person"): (2, 2, 3.0, 0),
    }
    everywhere = application.assessed("1")["assessments"]
    assert everywhere["found"] == found["found"]
    nobody = application.assessed("3")["assessments"]
    assert (nobody["traces"], nobody["found"]) == (0, [])
    others = application.assessed("3", trace_filter=f"prompt = '{application.name}/2'")
    assert [s["by"] for s in others["assessments"]["found"]] == ["judge"]
    with pytest.raises(RegistryNotFoundError):
        application.assessed("1", experiments=["nobody made this"])


def test_the_operator_hands_on_what_it_collected(application, monkeypatch):
    application.answers("2", 3, 4)
    connection = {"conn_type": "mlflow", "host": application.settings.tracking_uri}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(connection))
    found = TraceEvidenceOperator(
        task_id="assess",
        evidence={"model_name": application.name, "version": "2"},
        experiments=application.experiment,
    ).execute({"ti": SimpleNamespace()})
    (said,) = found["assessments"]["found"]
    assert (said["name"], said["traces"], said["sources"], said["mean"]) == (
        "human_score",
        2,
        2,
        3.5,
    )
    assert json.loads(json.dumps(found)) == found


def test_a_prompt_nobody_scored_is_not_measured(application):
    store = memory_store()
    for evidence, criteria, why in (
        ({"version": "3"}, FEEDBACK, "0 people's answers are there"),
        ({"version": "3"}, TRACES, "the evidence has no assessments"),
        (application.assessed("3"), TRACES, "none of 0 traces has an assessment 'human_score'"),
    ):
        found = judge(
            {**evidence, "model_name": application.name},
            criteria,
            ledger=Ledger(store),
            decided_by="test",
            life=StoreLife(store),
        )
        assert why in found.criteria[0].sentence
        assert not found.verdict.lets_pass
