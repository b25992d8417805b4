"""What Airflow asks a provider for: plain data, nothing imported."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider import __version__

_NAME = "AI projects"
_PACKAGE = "airflow_ai_provider"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in the form of Airflow's ``provider.yaml``."""
    return {
        "package-name": "airflow-ai-provider",
        "name": _NAME,
        "description": "GPU slots, data gates, model promotion, feedback and a project's life.",
        "state": "ready",
        "lifecycle": "incubation",
        "source-date-epoch": 1795219200,
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://airflow.apache.org/",
                "tags": ["ai", "machine-learning"],
            }
        ],
        "hooks": _modules("hooks", "store", "gpu", "quality", "promotion", "feedback", "lifecycle"),
        "operators": _modules(
            "operators",
            "gpu",
            "gpu_kubernetes",
            "gpu_job",
            "quality",
            "quality_required",
            "drift",
            "promotion",
            "promotion_moves",
            "promotion_copy",
            "model_evidence",
            "model_card",
            "approval_quorum",
            "feedback",
            "feedback_metrics",
            "retraining",
            "exceptions",
            "lifecycle",
            "durations",
            "project_report",
            "lifecycle_decisions",
        ),
        "sensors": _modules("sensors", "gpu", "quality", "promotion", "feedback"),
        "triggers": _modules(
            "triggers", "gpu", "gpu_job", "gpu_kubernetes", "quality", "promotion", "feedback"
        ),
        "connection-types": [_store_connection(), _mlflow_connection()],
        "extra-links": [
            f"{_PACKAGE}.links.gpu.GpuLeaseLink",
            f"{_PACKAGE}.links.promotion.ModelVersionLink",
            f"{_PACKAGE}.links.quality.QualityReportLink",
        ],
        "task-decorators": [
            {"name": "gpu", "class-name": f"{_PACKAGE}.decorators.gpu.gpu_task"},
            {
                "name": "quality_gate",
                "class-name": f"{_PACKAGE}.decorators.quality.quality_gate_task",
            },
        ],
        "asset-uris": [
            {
                "schemes": [
                    "ai-data",
                    "ai-feedback",
                    "ai-landing",
                    "ai-predictions",
                    "ai-project",
                    "ai-request",
                    "ai-retrain",
                    "ai-rollback",
                    "mlflow",
                ],
                "handler": None,
            }
        ],
        "config": _config(),
    }


def _modules(kind: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"{_PACKAGE}.{kind}.{name}" for name in names]
    return [{"integration-name": _NAME, "python-modules": modules}]


def _store_connection() -> dict[str, Any]:
    return {
        "connection-type": "ai_store",
        "hook-class-name": f"{_PACKAGE}.hooks.store.AiStoreHook",
        "hook-name": "AI store",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {"schema": "Database", "login": "User"},
            "placeholders": {"host": "PostgreSQL server; leave empty with a URL below"},
        },
        "conn-fields": {
            "url": {
                "label": "URL",
                "description": "A whole database URL; wins over the fields above. "
                "SQLite serves one machine only.",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "delta_options": {
                "label": "Options of Delta tables",
                "description": "What the storage of Delta tables with feedback wants to know, "
                'as JSON: {"AWS_REGION": "eu-west-1"}.',
                "schema": {"type": ["string", "null"], "format": "password"},
            },
        },
    }


def _mlflow_connection() -> dict[str, Any]:
    return {
        "connection-type": "mlflow",
        "hook-class-name": f"{_PACKAGE}.hooks.promotion.ModelRegistryHook",
        "hook-name": "MLflow",
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "Tracking URI", "login": "User"},
            "placeholders": {"host": "http://127.0.0.1:5000 or sqlite:////path/to/mlflow.db"},
        },
        "conn-fields": {
            "registry_uri": {
                "label": "Registry URI",
                "description": "Only where the registry is not the tracking server.",
                "schema": {"type": ["string", "null"]},
            },
            "token": {
                "label": "Token",
                "description": "Bearer token, instead of user and password.",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "ca_file": {
                "label": "CA file",
                "description": "Path of the certificates that the server is checked against.",
                "schema": {"type": ["string", "null"]},
            },
            "verify_tls": {
                "label": "Check the server's certificate",
                "schema": {"type": ["boolean", "null"], "default": True},
            },
            "timeout": {
                "label": "Timeout",
                "description": "Seconds to wait for an answer.",
                "schema": {"type": ["number", "null"], "default": 10, "minimum": 1},
            },
        },
    }


def _option(description: str, kind: str, default: str, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": default,
    }


def _config() -> dict[str, Any]:
    options = {**_gpu_options(), **_gpu_pod_options(), **_other_options()}
    about = "Settings of airflow-ai-provider."
    return {"ai_provider": {"description": about, "options": options}}


def _gpu_options() -> dict[str, Any]:
    """Devices and leases."""
    return {
        "static_devices": _option(
            "Devices that no driver reports, as kind:number, separated by commas.",
            "string",
            "",
            "cpu:0,cpu:1",
        ),
        "lease_ttl": _option(
            "Seconds after which a lease that nobody renews is suspect.",
            "integer",
            "60",
            "30",
        ),
        "reserve_after": _option(
            "Seconds a request waits before devices are kept free for it.",
            "integer",
            "600",
            "1800",
        ),
        "device_host": _option(
            "The name under which this machine's devices are registered; "
            "the host name unless said.",
            "string",
            "",
            "gpu-box-1",
        ),
        "hide_devices": _option(
            "Hide every CUDA device from tasks that hold no lease.",
            "boolean",
            "False",
            "True",
        ),
    }


def _gpu_pod_options() -> dict[str, Any]:
    """Tasks that get their devices in a cluster."""
    return {
        "gpu_backend": _option(
            "Where @task.gpu runs what does not say: local (on a worker) or kubernetes. "
            "The same wherever DAG files are parsed and tasks run.",
            "string",
            "local",
            "kubernetes",
        ),
        "gpu_image": _option(
            "The image of @task.gpu's pods that name none; it needs a Python.",
            "string",
            "",
            "registry.example.com/trainer:1",
        ),
        "gpu_pod_template": _option(
            "The pod template file of @task.gpu's pods that name none: service account, "
            "volumes, environment.",
            "string",
            "",
            "/opt/airflow/gpu_pod.yaml",
        ),
        "node_groups": _option(
            "Groups of nodes that a cluster's autoscaler makes, as a JSON list: for tasks "
            "with capacity='autoscale'. labels tell a group's nodes, labels_later come "
            "when they run (the model of their cards); also taints, resource, cluster.",
            "string",
            "",
            '[{"name": "h100", "labels": {"pool": "h100"}, "devices": 8, "max_nodes": 4}]',
        ),
    }


def _other_options() -> dict[str, Any]:
    """Feedback and the priority of tasks."""
    return {
        "feedback_comments": _option(
            "What is kept of the comments in feedback: keep, hash (SHA-256) or drop. After "
            "a change a source that is read again is read as revisions.",
            "string",
            "keep",
            "drop",
        ),
        "durations_file": _option(
            "The file of task durations that CriticalPathPriority reads in the scheduler; "
            "a file in Airflow's home unless said.",
            "string",
            "",
            "/shared/airflow_ai_durations.json",
        ),
    }
