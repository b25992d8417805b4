"""Whether the version that somebody waits for is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import PromotionError, RegistryNotFoundError
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion


@dataclass(frozen=True, kw_only=True)
class WantedVersion:
    """A version that is waited for.

    With ``environment`` the version that the alias names, else the newest of the model.
    ``version`` wants that one, ``newer_than`` one with a greater number.
    """

    model_name: str
    environment: str | None = None
    version: str | None = None
    newer_than: int | None = None


def read_wanted(**said: Any) -> WantedVersion:
    """Return what templated arguments mean.

    :raises PromotionError: no model is named, or ``newer_than`` is no number.
    """
    texts = {n: None if v in (None, "", "None") else str(v) for n, v in said.items()}
    newer = texts.pop("newer_than", None)
    if not texts.get("model_name"):
        raise PromotionError("No model is named.", remedy="Pass model_name.")
    try:
        return WantedVersion(**{**texts, "newer_than": int(newer) if newer else None})  # type: ignore[arg-type]
    except ValueError:
        raise PromotionError(
            f"newer_than is {newer!r}: no version number.", remedy="Pass a number such as 7."
        ) from None


def find_wanted(wanted: WantedVersion, *, registry: ModelRegistry) -> dict[str, Any] | None:
    """Return the wanted version when it is there and ready; None while it is not.

    ``{"model_name", "version", "environment", "run_id"}``. A model that nobody registered yet is
    waited for too.
    """
    try:
        found = _candidate(wanted, registry)
    except RegistryNotFoundError:
        return None
    if found is None or not found.is_ready:
        return None
    if wanted.version is not None and found.version != wanted.version:
        return None
    if wanted.newer_than is not None and int(found.version) <= wanted.newer_than:
        return None
    return {
        "model_name": wanted.model_name,
        "version": found.version,
        "environment": wanted.environment,
        "run_id": found.run_id,
    }


def _candidate(wanted: WantedVersion, registry: ModelRegistry) -> ModelVersion | None:
    if wanted.environment is not None:
        version = registry.aliases(wanted.model_name).get(wanted.environment)
        return registry.get_version(wanted.model_name, version) if version else None
    if wanted.version is not None:
        return registry.get_version(wanted.model_name, wanted.version)
    ready = [v for v in registry.find_versions(wanted.model_name) if v.is_ready]
    return ready[-1] if ready else None
