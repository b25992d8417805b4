"""Where the store is: what a user said, a connection, or the default on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """What a connection says of a store: both hold secrets, so neither is shown.

    ``delta_options`` (the extra field of that name) is what the storage of its Delta tables wants
    to know, such as ``{"AWS_REGION": "eu-west-1"}``; the environment says the rest.
    """

    url: str = field(repr=False)
    delta_options: Mapping[str, str] = field(default_factory=dict, repr=False)


def open_store(at: StoreAddress | str | None = None, *, create: bool = True) -> Store:
    """Return the open store at an address or a URL, or where ``resolve`` finds it."""
    found = resolve(at)
    return Store.open(found.url, create=create, delta_options=found.delta_options)


def migrate_store(at: StoreAddress | str | None = None) -> Store:
    """Bring the tables of the store there to this version, and return it open.

    :raises StoreNotMigratedError: they are of a later one.
    """
    found = resolve(at)
    store = Store(found.url)
    if not store.is_sqlite:  # SQLite migrates itself when it is opened
        migrate(store)
    return open_store(found)


def resolve(at: StoreAddress | str | None = None) -> StoreAddress:
    """Return where the store is.

    In this order: ``at``; the connection in the environment; the URL that our hook handed to this
    process; outside an Airflow task, the SQLite default.

    :raises StoreNotFoundError: inside a task with none of these: a store of its own would be a
        second authority over the same devices.
    """
    if isinstance(at, StoreAddress):
        return at
    if at:
        return StoreAddress(url=at)
    if said := os.environ.get(CONNECTION_VARIABLE):
        return address_of_connection_text(said)
    if handed := os.environ.get(HANDED_VARIABLE):
        return StoreAddress(url=handed)
    if inside_airflow_task():
        raise StoreNotFoundError(
            "This process runs in an Airflow task and was told of no store.",
            remedy=f"Pass store=URL, set {CONNECTION_VARIABLE}, or open it with AiStoreHook first.",
        )
    return StoreAddress(url=default_url())


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


def address_of_connection_text(text: str) -> StoreAddress:
    """Return the address that a connection variable means.

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
        return address_of_fields(
            host=fields.get("host"),
            port=fields.get("port"),
            database=fields.get("schema"),
            user=fields.get("login"),
            password=fields.get("password"),
            extra=_extra(fields.get("extra")),
        )
    kind, separator, rest = text.partition("://")
    if kind.replace("-", "_") != "ai_store":
        return StoreAddress(url=text)
    parts = urlsplit(f"ai-store{separator}{rest}")  # an underscore is no part of a URI's scheme
    try:
        port = parts.port
    except ValueError as error:
        raise StoreError(f"{CONNECTION_VARIABLE}: {error}.", remedy="Correct it.") from error
    return address_of_fields(
        host=unquote(parts.hostname) if parts.hostname else None,
        port=port,
        database=unquote(parts.path.lstrip("/")) or None,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        extra=_extra(dict(parse_qsl(parts.query))),
    )


def address_of_fields(
    *,
    host: str | None = None,
    port: int | str | None = None,
    database: str | None = None,
    user: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> StoreAddress:
    """Return the address that a connection's fields mean.

    The extra field ``url`` is a whole database URL and wins; otherwise the fields name a PostgreSQL
    database. The extra field ``delta_options``: see ``StoreAddress``.

    :raises StoreError: the fields name no database, or the options are none.
    """
    options = _delta_options((extra or {}).get("delta_options"))
    if extra and extra.get("url"):
        return StoreAddress(url=str(extra["url"]), delta_options=options)
    if not host:
        raise StoreError(
            "The store's connection names no host and no url.",
            remedy="Fill in host, database, user and password, or the extra field url.",
        )
    if port and not str(port).isdigit():
        raise StoreError(
            f"The port {port!r} of the store's connection is no number.", remedy="Correct it."
        )
    url = sa.URL.create(
        "postgresql+psycopg",
        username=user or None,
        password=password or None,
        host=host,
        port=int(port) if port else None,
        database=database or None,
    ).render_as_string(hide_password=False)
    return StoreAddress(url=url, delta_options=options)


def _delta_options(said: Any) -> dict[str, str]:
    """Return the options as the library of Delta tables wants them: texts by name."""
    if said is None or said == "":  # as a form leaves it
        return {}
    found = said
    if isinstance(said, str):  # as a URI gives it
        try:
            found = json.loads(said)
        except json.JSONDecodeError:
            found = None  # the error must not say it: secrets may be in it
    plain = (str, int, float)  # a truth value is an integer
    if not isinstance(found, Mapping) or not all(isinstance(v, plain) for v in found.values()):
        raise StoreError(
            "delta_options in the extra field of the store's connection are no names and texts.",
            remedy='Write {"delta_options": {"AWS_REGION": "eu-west-1"}}.',
        )
    return {str(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in found.items()}


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
