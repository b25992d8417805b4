"""Candidates become versions in the registry; the champion is the one in the last environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError, RegistryNotFoundError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import parse_evidence
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion

CANDIDATE_TAG = "airflow_ai.candidate"
TRAINING_TAG = "airflow_ai.training"
DATA_TAG = "airflow_ai.data"
CHALLENGER_TAG = "airflow_ai.challenger"


def register(
    evidence: Mapping[str, Any],
    *,
    registry: ModelRegistry,
    tags: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Return the version of the candidate in ``evidence``, made when there is none yet.

    One run has one version: registering again, after a crash half way too, finds it.

    :raises EvidenceError: the evidence does not say where the model is.
    """
    found = parse_evidence(evidence)
    if found.run_id is None or found.model_uri is None:
        raise EvidenceError(
            f"The evidence on {found.model_name} lacks run_id or model_uri.",
            remedy="Log the model in an MLflow run and return both from the training task.",
        )
    all_tags = {
        CANDIDATE_TAG: found.candidate or "",
        TRAINING_TAG: json.dumps(plain(found.training), sort_keys=True),
        DATA_TAG: json.dumps(plain(found.data), sort_keys=True),
        **{str(key): str(value) for key, value in (tags or {}).items()},
    }
    standing = registry.find_versions(found.model_name, run_id=found.run_id)
    if standing:
        registry.set_tags(found.model_name, standing[0].version, all_tags)
        return standing[0]
    registry.create_model(found.model_name)
    return registry.create_version(
        found.model_name, model_uri=found.model_uri, run_id=found.run_id, tags=all_tags
    )


def champion(
    model_name: str,
    *,
    registry: ModelRegistry,
    path: EnvironmentPath = DEFAULT_PATH,
) -> dict[str, Any] | None:
    """Return the version in the last environment, as ``in_environment`` does."""
    return in_environment(model_name, path.last, registry=registry)


def mark_challenger(
    model_name: str, version: str, *, registry: ModelRegistry, is_one: bool = True
) -> None:
    """Let ``version`` answer in the champion's shadow from now on, or no longer."""
    registry.set_tags(model_name, version, {CHALLENGER_TAG: "true" if is_one else "false"})


def challengers(
    model_name: str, *, registry: ModelRegistry, path: EnvironmentPath = DEFAULT_PATH
) -> list[str]:
    """Return the versions that answer beside the champion, and are compared on the same feedback.

    The champion is none, nor is a version whose files are not all there.
    """
    try:
        live = registry.aliases(model_name).get(path.last)
    except RegistryNotFoundError:
        return []
    return [
        found.version
        for found in registry.find_versions(model_name)
        if found.tags.get(CHALLENGER_TAG) == "true" and found.version != live and found.is_ready
    ]


def in_environment(
    model_name: str, environment: str, *, registry: ModelRegistry
) -> dict[str, Any] | None:
    """Return the version in ``environment``; None when there is none yet.

    ``{"version", "run_id", "model_uri", "training", "trained_through"}``; the last two are what the
    evidence said when it was registered.

    :raises RegistryNotFoundError: the registry does not know the model.
    """
    version = registry.aliases(model_name).get(environment)
    if version is None:
        return None
    found = registry.get_version(model_name, version)
    training = json.loads(found.tags.get(TRAINING_TAG) or "{}")
    return {
        "version": found.version,
        "run_id": found.run_id,
        "model_uri": f"models:/{model_name}/{found.version}",
        "training": training,
        "trained_through": training.get("through"),
    }
