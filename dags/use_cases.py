"""What the DAGs of this folder share: the project file, the training packages, the months.

A use case's training code is the package of its name beside this file; its module ``pipeline`` has
the functions that the DAGs call. Nothing heavy is imported here: Airflow parses this file often.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

HERE = Path(__file__).parent
DATA = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "data"
PROJECT_FILE = "projects/flight_delays.yaml"


def load(project_file: str) -> Any:
    """Return the project; its path stands from this folder."""
    from airflow_ai_provider.services.lifecycle import load_project

    return load_project(HERE / project_file)


def package(use_case: str) -> Any:
    """Return the module with the use case's training code."""
    return import_module(f"{use_case}.pipeline")


def extras(events: Any) -> list[dict]:
    """Return the extras of the events that started this run, oldest first, each once."""
    found = {}
    for asset_events in (events or {}).values():
        for event in asset_events:
            found[event.timestamp, str(event.extra)] = event.extra
    return [found[key] for key in sorted(found)]


# --- data ---------------------------------------------------------------------------------------


def deliveries(project: Any, dataset: str, partitions: Iterable[str] | None = None) -> list[dict]:
    """Return the gate's arguments for the delivered partitions of a data set."""
    source = project.source(dataset)
    place = Path(source.location)
    found = []
    for path in sorted(place.parent.glob(place.name)):
        partition = path.stem.removeprefix(dataset).lstrip("-") or "all"
        if partitions is None or partition in partitions:
            found.append(
                {
                    "data": str(path),
                    "suite": source.suite,
                    "suite_parameters": suite_parameters(dataset, partition),
                    "dataset": dataset,
                    "partition": partition,
                    "quarantine_path": str(DATA / "quarantine" / f"{path.stem}.parquet"),
                }
            )
    return found


def suite_parameters(dataset: str, partition: str) -> dict:
    """Return what a delivery's suite has to know about it: a month's number and its days."""
    if dataset != "flights":
        return {}
    from calendar import monthrange

    year, month = (int(part) for part in partition.split("-"))
    return {"month": month, "days": monthrange(year, month)[1]}


def pilot_deliveries(project_file: str) -> list[dict]:
    """Return the deliveries that the pilots learn from."""
    project = load(project_file)
    names = {use_case.data_source for use_case in project.pilots}
    return [found for name in sorted(names) for found in deliveries(project, name)]


def new_deliveries(
    project_file: str, dataset: str, *, months: list[str], events: Any
) -> list[dict]:
    """Return the deliveries that this run is about."""
    wanted = months or [m for extra in extras(events) for m in extra.get("partitions", ())]
    found = deliveries(load(project_file), dataset, set(wanted))
    if not found:
        raise AirflowSkipException(f"Nothing of {dataset} was delivered: {wanted}.")
    return found


def refused(deliveries: list[dict]) -> list[str]:
    """Return the partitions among ``deliveries`` whose newest gate record is a refusal."""
    newest = _newest_gates()
    return [
        d["partition"]
        for d in deliveries
        if newest.get((d["dataset"], d["partition"]), {}).get("verdict") == "fail"
    ]


def _newest_gates() -> dict[tuple[str, str], dict]:
    from airflow_ai_provider.core.gate import GateKind
    from airflow_ai_provider.hooks.store import AiStoreHook

    found = {}
    for record in AiStoreHook().ledger.search(kind=GateKind.DATA, subject_prefix="ai-data://"):
        dataset, _, partition = record.subject.removeprefix("ai-data://").partition("/")
        found[dataset, partition] = {"verdict": record.verdict, "id": record.id}
    return found


def gated_months(dataset: str) -> dict[str, str]:
    """Return the partitions whose newest gate let them pass, with the records' ids."""
    return {
        partition: gate["id"]
        for (name, partition), gate in sorted(_newest_gates().items())
        if name == dataset and gate["verdict"] != "fail"
    }


def month_end(month: str) -> str:
    """Return the last day of a month, ``2013-04`` -> ``2013-04-30``."""
    from calendar import monthrange

    year, number = (int(part) for part in month.split("-"))
    return f"{month}-{monthrange(year, number)[1]}"


def month_after(month: str) -> str:
    """Return the month after ``month``."""
    year, number = (int(part) for part in month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


# --- pilots -------------------------------------------------------------------------------------


def pilot_candidates(project_file: str, *, only: list[str]) -> list[dict]:
    """Return every candidate of every pilot, with the criteria that it is judged by."""
    return [
        {
            "use_case": use_case.name,
            "candidate": candidate,
            "criteria": list(use_case.criteria.pilot),
        }
        for use_case in load(project_file).pilots
        for candidate in package(use_case.name).CANDIDATES
        if not only or candidate in only
    ]


def best_candidates(project_file: str, verdicts: list[dict]) -> list[dict]:
    """Return, of the candidates that passed, each pilot's best by its metric."""
    best = []
    for use_case in load(project_file).pilots:
        passed = [v for v in verdicts if v and v["model_name"] == use_case.name and v["passed"]]
        if passed:
            best.append(max(passed, key=lambda v: v["metrics"]["candidate"][use_case.metric]))
    return best


def documents(project_file: str, winners: list[dict]) -> list[dict]:
    """Return the arguments of each winner's model card: what the project file says of it."""
    project = load(project_file)
    ethics = "\n".join(f"- {topic}: {said.answer}" for topic, said in project.compliance.items())
    return [
        {
            "verdict": winner,
            "purpose": f"{project.use_case(winner['model_name']).title}\n\n{project.business_need}",
            "limits": "\n".join(f"- {risk.name}: {risk.mitigation}" for risk in project.risks),
            "ethics": ethics,
        }
        for winner in winners
    ]


def pilot_result(project_file: str, winners: list[dict]) -> dict:
    """Return what the sponsor is asked about, and who may answer."""
    project = load(project_file)
    return {
        "pilots": winners,
        "approvers": [project.person("sponsor")],
        "owner": project.owner,
    }


# --- models -------------------------------------------------------------------------------------


def register(evidence: dict) -> dict:
    """Register the candidate in the model registry and return its name and version."""
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    version = ModelRegistryHook().register(evidence)
    return {"model_name": version.name, "version": version.version}


def in_environment(model: str, environment: str) -> dict | None:
    """Return the version in an environment and what it was trained on; None when none is there."""
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    return ModelRegistryHook().in_environment(model, environment)


def scoring_version(model: str) -> str:
    """Return the version that scores: production's, before there is one the shadow in test."""
    serving = in_environment(model, "production") or in_environment(model, "test")
    if serving is None:
        raise AirflowSkipException(f"No version of {model} is in production or in test yet.")
    return serving["version"]


def beside(model: str, serving: str) -> list[str]:
    """Return the versions that answer in the shadow of the one that scores.

    They are the challengers and the version that was in production before.
    """
    from airflow_ai_provider.hooks.feedback import FeedbackHook
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    before = FeedbackHook().previous(model)
    found = [*ModelRegistryHook().challengers(model), *([before] if before else [])]
    return [version for version in dict.fromkeys(found) if version != serving]


def training_plan(
    project_file: str, model: str, *, judge_on: str | None, candidate: str, events: Any
) -> dict:
    """Return what to train on, what to judge on, and who is asked.

    Every month before the judged one that passed its gate is trained on. A retrain decision names
    the month to judge on; without one it is the month after the last that passed.
    """
    project = load(project_file)
    if project.approvals_needed != approvals_needed(PROJECT_FILE):
        raise AirflowFailException(
            f"{project_file} wants {project.approvals_needed} approvals of a release; this DAG was "
            f"put together for the {approvals_needed(PROJECT_FILE)} that {PROJECT_FILE} wants."
        )
    use_case = project.use_case(model)
    months = gated_months(use_case.data_source)
    asked = [extra["judge_on"] for extra in extras(events) if extra.get("judge_on")]
    judged = judge_on or (asked[-1] if asked else month_after(max(months)))
    train_on = [month for month in months if month < judged]
    if not train_on:
        raise AirflowSkipException(f"No month before {judged} has passed its gate.")
    return {
        "candidate": candidate,
        "train_on": train_on,
        "gates": [{"partition": month, "record": months[month]} for month in train_on],
        "judge_on": judged,
        "delivered": judged in months,
        "criteria": list(use_case.criteria.production),
        "approvers": list(project.approving_users),
        "owner": project.owner,
        "project_file": str(HERE / project_file),
    }


def approvals_needed(project_file: str) -> int:
    """Return how many people must approve a release; the DAG has a question for each.

    It is read where the DAG is put together, so the project file alone is read, not checked.
    """
    import yaml

    with (HERE / project_file).open(encoding="utf-8") as file:
        return int((yaml.safe_load(file) or {}).get("approvals_needed", 1))


def ask_for_month(plan: dict, event: Any) -> None:
    """Ask for the month to judge on, unless it is there."""
    if plan["delivered"]:
        raise AirflowSkipException(f"{plan['judge_on']} is there.")
    event.extra = {"after": max(plan["train_on"])}


# --- feedback -----------------------------------------------------------------------------------


def scored_month(model: str, *, month: str | None, events: Any) -> dict:
    """Return the prediction log that this run is about: the newest, or that of ``month``.

    ``every_version`` is where the logs of all versions that scored the month are.
    """
    logs = [log for extra in extras(events) for log in extra.get("logs", ())]
    if month:
        logs = package(model).prediction_logs(month)
    if not logs:
        raise AirflowSkipException("Nothing was scored.")
    path = Path(logs[-1]["path"])
    return {**logs[-1], "every_version": str(path.parents[1] / "*" / path.name)}


def situation(project_file: str, model: str, dataset: str, month: str) -> dict:
    """Return what the retrain decision has to know beside the metrics."""
    waiting = in_environment(model, "test")
    observed = in_environment(model, "production") or waiting
    older = [m for m in gated_months(dataset) if m < month]
    return {
        "policy": load(project_file).retrain.model_dump(),
        "champion": observed
        and {
            "version": observed["version"],
            "trained_through": observed["trained_through"],
        },
        "window_end": month_end(month),
        "newest_data": month_end(max(older)) if older else None,
        "in_flight": waiting is not None and not _was_judged(model, waiting["version"]),
    }


def _was_judged(model: str, version: str) -> bool:
    from airflow_ai_provider.core.gate import GateKind
    from airflow_ai_provider.hooks.store import AiStoreHook

    subject = f"mlflow://{model}/{version}"
    return bool(AiStoreHook().ledger.search(kind=GateKind.MODEL, subject=subject))


def close_unless_retraining(decision: dict, situation: dict, event: Any) -> None:
    """Ask for the next month, unless a challenger is trained or judged first."""
    if decision["retrain"] or situation["in_flight"]:
        raise AirflowSkipException("A challenger is judged on this month first.")
    event.extra = {"after": decision["partition"]}


def way_back(project_file: str, events: Any) -> dict:
    """Return the decision to go back to the version before, and who is asked about it."""
    decided = [extra for extra in extras(events) if extra.get("champion")]
    if not decided:
        raise AirflowSkipException("No model fell below the version before it.")
    project = load(project_file)
    return {**decided[-1], "approvers": [project.person("sponsor")], "owner": project.owner}


# --- maintenance --------------------------------------------------------------------------------


def left_behind(status: dict) -> list[dict]:
    """Return the leases whose holder is gone and whose devices are not free yet."""
    return [
        {"device": device["uuid"], "host": device["host"], **lease}
        for device in status["devices"]
        for lease in device["holders"]
        if lease["state"] in {"suspect", "quarantined"}
    ]
