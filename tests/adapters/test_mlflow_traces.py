"""Traces over HTTP: pages, places, and answers that are none."""

from __future__ import annotations

import pytest

from airflow_ai_provider.adapters.mlflow_traces import RestTraces
from airflow_ai_provider.core.errors import (
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)


class Server:
    """Answers the next of ``answers``; keeps what was asked."""

    address = "http://mlflow.test"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def ask(self, method, path, fields):
        self.asked.append((method, path, dict(fields)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def feedback(value=4, **more):
    return {
        "assessment_id": "a-1",
        "assessment_name": "helpful",
        "source": {"source_type": "HUMAN", "source_id": "ann"},
        "feedback": {"value": value},
        "last_update_time": "2026-01-01T00:00:00Z",
        **more,
    }


def trace(name, *assessments):
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "7"}}
    return {"trace_id": name, "trace_location": place, "assessments": list(assessments)}


def test_every_page_is_read_and_only_feedback_counts():
    expectation = {**feedback(), "expectation": {"value": 1}}
    del expectation["feedback"]
    gone = feedback(1, valid=False, source={"source_type": "CODE", "source_id": "default"})
    server = Server(
        {"traces": [trace("t1", feedback(), expectation)], "next_page_token": "more"},
        {"traces": [trace("t2", gone, feedback(feedback={"error": {"error_code": "E"}}))]},
    )
    one, two = RestTraces(server).search(["7"], "prompt = 'p/1'")
    assert (one.id, one.experiment) == ("t1", "7")
    (said,) = one.assessments
    assert (said.name, said.value, said.by, said.source, said.holds) == (
        "helpful",
        4,
        "person",
        "ann",
        True,
    )
    assert [(a.by, a.source, a.holds, a.value) for a in two.assessments] == [
        ("code", None, False, 1),
        ("person", "ann", True, None),
    ]
    (_, path, first), (_, _, second) = server.asked
    assert path == "3.0/mlflow/traces/search"
    assert first["filter"] == "prompt = 'p/1'"
    assert first["locations"][0]["mlflow_experiment"] == {"experiment_id": "7"}
    assert second["page_token"] == "more"


def test_a_server_without_experiments_has_no_traces():
    server = Server({})
    traces = RestTraces(server)
    assert list(traces.search(traces.find_experiments([]), "x")) == []
    assert len(server.asked) == 1


def test_experiments_are_found_by_name_else_by_id():
    server = Server(
        {"experiments": [{"experiment_id": "1"}], "next_page_token": "more"},
        {"experiments": [{"experiment_id": "2"}]},
        {"experiment": {"experiment_id": "3"}},
        RegistryNotFoundError("no such name"),
        {"experiment": {"experiment_id": "4"}},
        RegistryNotFoundError("no such name"),
    )
    traces = RestTraces(server)
    assert traces.find_experiments([]) == ["1", "2"]
    assert traces.find_experiments(["app", "4"]) == ["3", "4"]
    with pytest.raises(RegistryNotFoundError):
        traces.find_experiments(["nobody"])


@pytest.mark.parametrize(
    "answer",
    [
        {"traces": [{"trace_info": {}}]},
        {"traces": ["t1"]},
        {"traces": [trace("t1", {"feedback": {}})]},
        {"traces": [trace("t1", feedback(feedback=None))]},
    ],
)
def test_what_is_no_answer_of_mlflow_is_an_error(answer):
    with pytest.raises(RegistryError, match="not as MLflow 3 does"):
        list(RestTraces(Server(answer)).search(["7"], "x"))


def test_a_server_that_goes_away_between_pages_leaves_no_half_evidence():
    server = Server(
        {"traces": [trace("t1")], "next_page_token": "more"}, RegistryUnavailableError("gone")
    )
    with pytest.raises(RegistryUnavailableError):
        list(RestTraces(server).search(["7"], "x"))


def test_more_traces_than_can_be_read_are_refused():
    page = {"traces": [trace("t1"), trace("t2")], "next_page_token": "more"}
    with pytest.raises(RegistryError, match="More than 2 traces"):
        list(RestTraces(Server(page, page), most=2).search(["7"], "x"))
