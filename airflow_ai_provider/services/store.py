"""Where the store is: what a user said, a connection, or the default on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreError, StoreNotFoundError
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate

CONNECTION_VARIABLE = "AIRFLOW_CONN_AI_STORE_DEFAULT"
HANDED_VARIABLE = "AIRFLOW_AI_STORE_URL"
FILE_NAME = "airflow_ai.db"


def open_store(url: str | None = None, *, create: bool = True) -> Store:
    """Return the open store at ``url``, or where ``resolve_url`` finds it."""
    return Store.open(resolve_url(url), create=create)


def migrate_store(url: str | None = None) -> Store:
    """Bring the tables of the store at ``url`` to this version, and return it open.

    :raises StoreNotMigratedError: they are of a later one.
    """
    found = resolve_url(url)
    store = Store(found)
    if not store.is_sqlite:  # SQLite migrates itself when it is opened
        migrate(store)
    return Store.open(found)


def resolve_url(url: str | None = None) -> str:
    """Return the store's database URL.

    In this order: ``url``; the connection in the environment; the URL that our hook handed to this
    process; outside an Airflow task, the SQLite default.

    :raises StoreNotFoundError: inside a task with none of these: a store of its own would be a
        second authority over the same devices.
    """
    if url:
        return url
    if said := os.environ.get(CONNECTION_VARIABLE):
        return url_of_connection_text(said)
    if handed := os.environ.get(HANDED_VARIABLE):
        return handed
    if inside_airflow_task():
        raise StoreNotFoundError(
            "This process runs in an Airflow task and was told of no store.",
            remedy=f"Pass store=URL, set {CONNECTION_VARIABLE}, or open it with AiStoreHook first.",
        )
    return default_url()


def hand_to_process(url: str) -> None:
    """Let this process and the programs it starts use the store at ``url``."""
    os.environ[HANDED_VARIABLE] = url


def default_url() -> str:
    """Return ``sqlite:///$AIRFLOW_HOME/airflow_ai.db``."""
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser().resolve()
    return f"sqlite:///{home / FILE_NAME}"


def inside_airflow_task() -> bool:
    """Whether this process belongs to a running Airflow task."""
    return "AIRFLOW_CTX_TASK_ID" in os.environ


def url_of_connection_text(text: str) -> str:
    """Return the database URL that a connection variable means.

    ``text`` is Airflow's JSON, Airflow's URI (``ai-store://user:secret@host:5432/database``), or a
    plain database URL.

    :raises StoreError: it is none of these.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise StoreError(
                f"{CONNECTION_VARIABLE} is no valid JSON: {error}.", remedy="Correct it."
            ) from error
        return url_of_fields(
            host=fields.get("host"),
            port=fields.get("port"),
            database=fields.get("schema"),
            user=fields.get("login"),
            password=fields.get("password"),
            extra=_extra(fields.get("extra")),
        )
    kind, separator, rest = text.partition("://")
    if kind.replace("-", "_") != "ai_store":
        return text
    parts = urlsplit(f"ai-store{separator}{rest}")  # an underscore is no part of a URI's scheme
    try:
        port = parts.port
    except ValueError as error:
        raise StoreError(f"{CONNECTION_VARIABLE}: {error}.", remedy="Correct it.") from error
    return url_of_fields(
        host=unquote(parts.hostname) if parts.hostname else None,
        port=port,
        database=unquote(parts.path.lstrip("/")) or None,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        extra=_extra(dict(parse_qsl(parts.query))),
    )


def url_of_fields(
    *,
    host: str | None = None,
    port: int | str | None = None,
    database: str | None = None,
    user: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Return the database URL that a connection's fields mean.

    The extra field ``url`` is a whole database URL and wins; otherwise the fields name a PostgreSQL
    database.

    :raises StoreError: the fields name no database.
    """
    if extra and extra.get("url"):
        return str(extra["url"])
    if not host:
        raise StoreError(
            "The store's connection names no host and no url.",
            remedy="Fill in host, database, user and password, or the extra field url.",
        )
    if port and not str(port).isdigit():
        raise StoreError(
            f"The port {port!r} of the store's connection is no number.", remedy="Correct it."
        )
    return sa.URL.create(
        "postgresql+psycopg",
        username=user or None,
        password=password or None,
        host=host,
        port=int(port) if port else None,
        database=database or None,
    ).render_as_string(hide_password=False)


def _extra(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        inner = value.get("__extra__")
        return _extra(inner) if inner else value
    if isinstance(value, str) and value.strip():
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise StoreError(
                "The extra field of the store's connection is no valid JSON.",
                remedy='Write {"url": "..."}.',
            ) from error
        return parsed if isinstance(parsed, Mapping) else {}
    return {}
