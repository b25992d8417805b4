"""The lifecycle's operators, with contexts made by hand and a real store."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_ai_provider.assets import phase_alias, project_asset
from airflow_ai_provider.core.errors import MilestoneIncompleteError
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES, milestone
from airflow_ai_provider.operators.lifecycle import (
    MilestoneFormOperator,
    MilestoneOperator,
    PhaseGateOperator,
    form_fields,
)
from airflow_ai_provider.services.lifecycle import load_project, read_project_file
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from tests.edge.task_context import Events, task_instance

PROJECTS = Path(__file__).parents[2] / "dags" / "projects"
TEMPLATE = str(PROJECTS / "flight_delays.yaml")


def context_of(operator: Any, folder: Path = PROJECTS) -> dict[str, Any]:
    ti = task_instance(operator, dag_id="discovery")
    dag = SimpleNamespace(fileloc=str(folder / "discovery.py"))
    return {"ti": ti, "dag": dag, "task": operator, "outlet_events": defaultdict(Events)}


def form_result(
    answers: dict[str, Any] | None = None, by: str | None = "sponsor"
) -> dict[str, Any]:
    return {
        "chosen_options": ["OK"],
        "params_input": answers or {},
        "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "responded_by_user": {"id": by, "name": by} if by else None,
    }


def finish_discovery(tmp_path: Path) -> None:
    sample = tmp_path / "sample.parquet"
    sample.touch()
    for definition in MILESTONES:
        measured: dict[str, Any] = {d.name: {"a": 1} for d in definition.measured}
        if "curated_data_sets" in measured:
            measured["curated_data_sets"] = {"samples": [{"path": str(sample)}]}
        operator = MilestoneOperator(
            task_id=definition.name,
            project=TEMPLATE,
            milestone=definition.name,
            measured=measured,
            answers=form_result(),
        )
        operator.execute(context_of(operator))


def test_milestone_is_kept_with_who_answered(here: Store) -> None:
    operator = MilestoneOperator(
        task_id="done",
        project="flight_delays.yaml",  # beside the DAG's file
        milestone="kick_off",
        answers={**form_result(), "answers": {"point_person": "ask ben"}},
    )
    for _ in range(2):  # a retry adds nothing
        result = operator.execute(context_of(operator))
    json.dumps(result)
    assert result["answered_by"] == "sponsor"
    record = Ledger(here).get(result["record"])
    assert (record.decided_by, record.task_id) == ("sponsor", "done")
    rows = {row.name: row for row in Projects(here).deliverables("flight_delays")}
    assert rows["point_person"].value == "ask ben"
    assert Ledger(here).verify() == (1, None)


@pytest.mark.parametrize(
    ("project", "name", "says"),
    [
        (TEMPLATE, "data_landscape", "not measured"),
        (TEMPLATE, "kickoff", "no milestone kickoff"),
        ("none.yaml", "kick_off", "no project file"),
    ],
)
def test_hopeless_milestone_is_not_tried_again(
    here: Store, project: str, name: str, says: str
) -> None:
    operator = MilestoneOperator(task_id="done", project=project, milestone=name)
    with pytest.raises(AirflowFailException, match=says):
        operator.execute(context_of(operator))
    assert Projects(here).deliverables("flight_delays") == []


def test_phase_gate_emits_its_asset_through_the_project_s_alias(
    here: Store, tmp_path: Path
) -> None:
    finish_discovery(tmp_path)
    operator = PhaseGateOperator(task_id="gate", project=TEMPLATE, phase="discovery")
    context = context_of(operator)
    result = operator.execute(context)
    json.dumps(result)
    assert result["passed"]
    assert phase_alias("flight_delays") in operator.outlets
    ((asset, extra),) = context["outlet_events"][phase_alias("flight_delays")].added
    assert asset == project_asset("flight_delays", "discovery")
    assert extra["admitted"] == ["flight_delays", "handwritten_digits"]
    assert extra["record"] == result["record"]
    assert Ledger(here).get(result["record"]).verdict == "pass"


@pytest.mark.parametrize(
    ("on_fail", "raised"), [("fail", AirflowFailException), ("skip", AirflowSkipException)]
)
def test_refusal_is_pushed_and_recorded_before_it_is_raised(
    here: Store, on_fail: str, raised: type[Exception]
) -> None:
    operator = PhaseGateOperator(
        task_id="gate", project=TEMPLATE, phase="discovery", on_fail=on_fail
    )
    context = context_of(operator)
    with pytest.raises(raised, match="milestones"):
        operator.execute(context)
    report = context["ti"].pushed["return_value"]
    assert not report["passed"]
    assert Ledger(here).get(report["record"]).verdict == "fail"
    assert not context["outlet_events"]


def test_warning_goes_on_without_an_event(here: Store) -> None:
    operator = PhaseGateOperator(
        task_id="gate", project=TEMPLATE, phase="discovery", on_fail="warn"
    )
    context = context_of(operator)
    assert not operator.execute(context)["passed"]
    assert not context["outlet_events"]
    assert len(Ledger(here).search()) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"phase": "launch"}, "no exit criteria"),
        ({"phase": "discovery", "on_fail": "shrug"}, "on_fail"),
        ({"phase": "pilot", "evidence": {"pilots": "all"}}, "another shape"),
    ],
)
def test_wrong_use_fails_at_once(here: Store, given: dict[str, Any], says: str) -> None:
    operator = PhaseGateOperator(task_id="gate", project=TEMPLATE, **given)
    with pytest.raises(AirflowFailException, match=says):
        operator.execute(context_of(operator))
    assert Ledger(here).search() == []


def form(name: str = "kick_off", project: str = TEMPLATE, **arguments: Any) -> Any:
    with DAG("discovery", params={"project": TEMPLATE}):
        return MilestoneFormOperator(task_id="ask", project=project, milestone=name, **arguments)


def test_form_s_fields_are_the_milestone_s_questions_and_valid_when_empty() -> None:
    for definition in MILESTONES:
        operator = form(definition.name)
        assert list(operator.params) == [d.name for d in definition.asked]
        operator.params.validate()
        assert operator.defaults is None


def test_form_is_filled_in_with_what_the_file_says() -> None:
    project = load_project(TEMPLATE)
    for definition in MILESTONES:
        for name, param in form_fields(definition, project).items():
            assert param.resolve() == param.value, name
            assert param.value


def shown(operator: Any) -> dict[str, Any]:
    """Return the context after the form was shown: what ``execute`` leaves for the answer."""
    context = context_of(operator)
    context["ti"].pushed["project_file"] = read_project_file(TEMPLATE).digest
    return context


def test_answers_are_returned_with_the_file_s_for_empty_ones() -> None:
    operator = form("skills_landscape")
    answers = {"skills_held": None, "training_needs": "nothing new", "hiring_needs": None}
    result = operator.execute_complete(shown(operator), form_result(answers, by="ml"))
    assert result["answers"]["training_needs"] == "nothing new"
    assert result["answers"]["hiring_needs"].startswith("Nobody is hired")
    assert result["responded_by_user"]["id"] == "ml"


def test_answer_that_nobody_gave_is_refused() -> None:
    operator = form()
    with pytest.raises(AirflowFailException, match="Nobody answered"):
        operator.execute_complete(shown(operator), form_result(by=None))


def test_unanswered_question_is_named_and_asked_again(tmp_path: Path) -> None:
    text = Path(TEMPLATE).read_text().replace("  training: Shift", "  # training: Shift")
    path = tmp_path / "untrained.yaml"
    path.write_text(text)
    operator = form("skills_landscape", project=str(path))
    context = context_of(operator)
    context["ti"].pushed["project_file"] = read_project_file(path).digest
    answers = {"skills_held": None, "training_needs": None, "hiring_needs": None}
    with pytest.raises(MilestoneIncompleteError, match="training_needs") as caught:
        operator.execute_complete(context, form_result(answers))
    assert caught.value.facts["missing"] == ["training_needs"]


def test_file_that_changed_while_the_form_was_open_voids_the_answer() -> None:
    operator = form()
    context = context_of(operator)
    context["ti"].pushed["project_file"] = "another digest"
    with pytest.raises(MilestoneIncompleteError, match="changed"):
        operator.execute_complete(context, form_result())


def test_role_without_a_person_asks_nobody(tmp_path: Path) -> None:
    text = Path(TEMPLATE).read_text()
    for line in ("  project_manager: {user: ml, share: 0.1}\n",):
        assert line in text
        text = text.replace(line, "").replace("owner: project_manager", "owner: sponsor")
    (tmp_path / "p.yaml").write_text(text)
    operator = form("skills_landscape", project=str(tmp_path / "p.yaml"))
    with pytest.raises(AirflowFailException, match="role project_manager"):
        operator.execute(context_of(operator))


def test_wrong_project_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("name: 7\n")
    operator = form(project=str(path))
    with pytest.raises(AirflowFailException, match="line 1"):
        operator.execute(context_of(operator))


def test_discovery_dag_asks_every_role_in_order() -> None:
    namespace: dict[str, Any] = {"__name__": "discovery", "__doc__": "doc"}
    source = PROJECTS.parent / "discovery.py"
    exec(compile(source.read_text(), str(source), "exec"), namespace)
    dag = namespace["dag"]
    dag.check_cycle()
    assert dag.params["project"] == "projects/flight_delays.yaml"
    for definition in MILESTONES:
        done = dag.get_task(f"discovery.{definition.name}.done")
        ask = dag.get_task(f"discovery.{definition.name}.ask")
        assert ask.task_id in done.upstream_task_ids
        first = f"discovery.{definition.name}.{'measure' if definition.measured else 'ask'}"
        before = {f"discovery.{name}.done" for name in definition.after}
        assert before <= dag.get_task(first).upstream_task_ids
    assert dag.get_task("discovery.gate").upstream_task_ids == {"discovery.ai_strategy.done"}
    assert milestone("kick_off").role == "sponsor"
