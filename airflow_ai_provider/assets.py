"""The assets that join the phases of a project, by one function each.

An asset's ``name`` equals its URI as written here. Airflow adds a slash to a URI without a path, so
compare assets, not URI texts. An event for a subject that is known only at run time goes through an
alias: ``outlet_events[data_alias("flights")].add(data_asset("flights", "2013-04"))`` starts the
DAGs scheduled on that asset and those scheduled on the alias.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias


def data_asset(name: str, partition: str) -> Asset:
    """A data set's partition that passed its gate: ``ai-data://NAME/PARTITION``."""
    return _asset(f"ai-data://{name}/{partition}")


def data_alias(name: str) -> AssetAlias:
    """Any partition of a data set that passed its gate."""
    return AssetAlias(f"ai-data://{name}")


def model_asset(name: str, alias: str) -> Asset:
    """A model in an environment: ``mlflow://NAME@ALIAS``."""
    return _asset(f"mlflow://{name}@{alias}")


def project_asset(name: str, phase: str) -> Asset:
    """A phase that a project passed: ``ai-project://NAME/PHASE``."""
    return _asset(f"ai-project://{name}/{phase}")


def feedback_asset(model: str) -> Asset:
    """Feedback on a model came in: ``ai-feedback://MODEL``."""
    return _asset(f"ai-feedback://{model}")


def feedback_alias(model: str) -> AssetAlias:
    """The outlet of an ingest, through which ``feedback_asset`` is emitted when anything is new."""
    return AssetAlias(f"ai-feedback-ingest://{model}")


def retrain_asset(model: str) -> Asset:
    """Retraining was decided: ``ai-retrain://MODEL``."""
    return _asset(f"ai-retrain://{model}")


def decision_alias(model: str) -> AssetAlias:
    """The outlet of a retrain decision, through which ``retrain_asset`` is emitted on a yes."""
    return AssetAlias(f"ai-retrain-decision://{model}")


def rollback_asset(model: str) -> Asset:
    """The champion fell below the version before it: ``ai-rollback://MODEL``."""
    return _asset(f"ai-rollback://{model}")


def rollback_alias(model: str) -> AssetAlias:
    """The outlet of a retrain decision, through which ``rollback_asset`` is emitted."""
    return AssetAlias(f"ai-rollback-decision://{model}")


def phase_alias(name: str) -> AssetAlias:
    """The outlet of a phase gate, through which ``project_asset`` is emitted on a pass."""
    return AssetAlias(f"ai-project-gate://{name}")


def landing_asset(name: str) -> Asset:
    """Raw data was delivered and has not passed its gate yet: ``ai-landing://NAME``."""
    return _asset(f"ai-landing://{name}")


def request_asset(name: str) -> Asset:
    """The next delivery of a data set, or the same again, is wanted: ``ai-request://NAME``."""
    return _asset(f"ai-request://{name}")


def predictions_asset(model: str) -> Asset:
    """A model made predictions, which can now be compared: ``ai-predictions://MODEL``."""
    return _asset(f"ai-predictions://{model}")


def _asset(uri: str) -> Asset:
    return Asset(name=uri, uri=uri)
