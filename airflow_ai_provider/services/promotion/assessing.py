"""Add to the evidence on an application what people, judges and checks said of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.adapters.mlflow import logged_model_id
from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.promotion.assessments import (
    Traces,
    summarised,
    traces_of_model,
    traces_of_prompt,
    traces_of_run,
)
from airflow_ai_provider.core.promotion.evidence import ModelEvidence, parse_evidence
from airflow_ai_provider.core.promotion.registry import ModelRegistry

PROMPT_TAG = "mlflow.prompt.is_prompt"


def assess_evidence(
    evidence: Any,
    *,
    traces: Traces,
    registry: ModelRegistry,
    experiments: Sequence[str] = (),
    trace_filter: str | None = None,
) -> dict[str, Any]:
    """Return ``evidence`` with ``assessments``: what was said of the candidate's answers.

    The traces of a prompt version are those linked to it, of a model those of its logged model,
    else of its run; ``trace_filter`` names others in MLflow's words. They are looked for in
    ``experiments``, in all of them when none is named. That nobody said anything is no error here:
    the evidence says so, and a criterion on it fails.

    :raises EvidenceError: nothing says which traces are the candidate's.
    :raises RegistryNotFoundError: a version or an experiment is not there.
    :raises RegistryUnavailableError: the server does not answer; try again.
    """
    found = parse_evidence(evidence)
    said = trace_filter or _traces_of(found, registry)
    places = traces.find_experiments(list(experiments))
    count, summaries = summarised(traces.search(places, said))
    added: dict[str, Any] = plain(
        {
            **_without(evidence, "assessments"),
            "assessments": {
                "filter": said,
                "experiments": list(experiments) or "all",
                "traces": count,
                "found": [asdict(summary) for summary in summaries],
            },
        }
    )
    return added


def _traces_of(evidence: ModelEvidence, registry: ModelRegistry) -> str:
    model_id, run_id = logged_model_id(evidence.model_uri or ""), evidence.run_id
    if evidence.version is not None:
        version = registry.get_version(evidence.model_name, evidence.version)
        if version.tags.get(PROMPT_TAG, "").lower() == "true":
            return traces_of_prompt(evidence.model_name, evidence.version)
        model_id = logged_model_id(version.source or "") or model_id
        run_id = version.run_id or run_id
    if model_id:
        return traces_of_model(model_id)
    if run_id:
        return traces_of_run(run_id)
    raise EvidenceError(
        f"The evidence on {evidence.model_name} names no version, model or run with traces.",
        remedy="Register it first, or name the traces with trace_filter.",
    )


def _without(evidence: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in evidence.items() if key != name}
