"""What a DAG says of a source of feedback, as a source that is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook

from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.source import FeedbackSource

_MEMBERS = ("name", "read", "position")


def open_source(described: Any) -> FeedbackSource:
    """Return the source that is meant: see ``FeedbackIngestOperator``.

    :raises FeedbackSourceError: it means none.
    """
    if isinstance(described, type) or (callable(described) and not hasattr(described, "read")):
        described = described()
    if not isinstance(described, Mapping):
        if all(hasattr(described, member) for member in _MEMBERS):
            return described  # type: ignore[no-any-return]
        raise _unknown(f"a {type(described).__name__} has no {', '.join(_MEMBERS)}")
    said = dict(described)
    kind = str(said.pop("kind", ""))
    if kind not in KINDS:
        raise _unknown(f"there is no kind {kind!r}")
    try:
        return KINDS[kind](**said)
    except TypeError as error:
        raise _unknown(f"{kind}: {error}") from error


def _sql(
    conn_id: str,
    *,
    table: str | None = None,
    schema: str | None = None,
    sql: str | None = None,
    watermark: str | None = None,
    time_zone: str | None = None,
) -> FeedbackSource:
    from airflow_ai_provider.adapters.feedback_sql import SqlFeedback
    from airflow_ai_provider.hooks.quality import DataQualityHook

    if (table is None) is (sql is None):
        raise _unknown("sql: it needs table or sql, one of the two")
    source = DataQualityHook().source(conn_id, table=table, schema=schema, query=sql)
    return SqlFeedback(source, watermark=watermark, time_zone=time_zone)


def _label_studio(
    conn_id: str = "label_studio_default",
    *,
    project: int | str | None = None,
    path: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> FeedbackSource:
    from airflow_ai_provider.adapters.label_studio import (
        LabelStudioExport,
        LabelStudioLogin,
        LabelStudioProject,
    )

    if path is not None:
        return LabelStudioExport(Path(path).expanduser().resolve(), fields=fields)
    if project is None:
        raise _unknown("label_studio: it needs project, or the path of an export")
    connection = BaseHook.get_connection(conn_id)
    host = str(connection.host or "")
    if "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        host = f"{connection.schema or 'http'}://{host}{port}"
    token = str(connection.password or connection.extra_dejson.get("token") or "")
    login = LabelStudioLogin(url=host, token=token)
    return LabelStudioProject(login, int(project), fields=fields)


def _mlflow(conn_id: str = "mlflow_default", *, experiment: str, **said: Any) -> FeedbackSource:
    from airflow_ai_provider.adapters.mlflow import without_secrets
    from airflow_ai_provider.adapters.mlflow_assessments import MlflowAssessments
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    hook = ModelRegistryHook(conn_id)
    address = without_secrets(hook.get_settings().tracking_uri)
    return MlflowAssessments(hook.get_client, experiment, address=address, **said)


KINDS: Mapping[str, Callable[..., FeedbackSource]] = {
    "sql": _sql,
    "label_studio": _label_studio,
    "mlflow": _mlflow,
}


def _unknown(why: str) -> FeedbackSourceError:
    return FeedbackSourceError(
        f"This is no source of feedback: {why}.",
        remedy=f"Write {{'kind': ...}} with one of {', '.join(KINDS)}, or give an object with "
        f"{', '.join(_MEMBERS)} (airflow_ai_provider.core.feedback.source).",
    )
