"""Airflow's pools as a mirror of the GPU-slot pool: one slot per healthy device."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_ai_provider.adapters.airflow_api import AirflowLogin, AirflowPool
from airflow_ai_provider.core.errors import SettingsError
from airflow_ai_provider.core.gpu.cluster import is_of_cluster
from airflow_ai_provider.core.gpu.mirror import (
    MIRROR_MARK,
    MirrorChange,
    mirror_description,
    mirror_name,
    slots_of,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_figures import read_figures

CONNECTION = "airflow_api_default"
_PREFIX = mirror_name("")


class PoolsPort(Protocol):
    """What the mirror needs of ``adapters.airflow_api.AirflowPools``."""

    def find(self, prefix: str) -> dict[str, AirflowPool]: ...

    def create(self, pool: AirflowPool) -> None: ...

    def change(self, pool: AirflowPool) -> None: ...


def sync_pools(store: Store, pools: PoolsPort) -> list[MirrorChange]:
    """Set Airflow's pool ``gpu_<pool>`` to the number of healthy devices; say what was changed.

    No pool gets fewer slots than are in use. A mirror whose devices are all gone is set to none.
    """
    healthy: dict[str, int] = defaultdict(int)
    for figure in read_figures(store):
        # those of a cluster are for pods, whatever Airflow pool their tasks are in
        if figure.devices and not is_of_cluster(figure.host):
            healthy[figure.pool] += figure.healthy
    there = pools.find(_PREFIX)
    for name, pool in there.items():
        if pool.description.startswith(MIRROR_MARK):
            healthy.setdefault(name.removeprefix(_PREFIX), 0)
    changes = []
    for gpu_pool, count in sorted(healthy.items()):
        change = _sync(pools, there.get(mirror_name(gpu_pool)), gpu_pool, count)
        if change:
            changes.append(change)
    return changes


def _sync(
    pools: PoolsPort, before: AirflowPool | None, gpu_pool: str, healthy: int
) -> MirrorChange | None:
    slots, reason = slots_of(healthy, occupied=before.occupied if before else 0)
    wanted = AirflowPool(
        name=mirror_name(gpu_pool),
        slots=slots,
        description=mirror_description(gpu_pool),
        include_deferred=False,
        occupied=before.occupied if before else 0,
    )
    if before is None:
        pools.create(wanted)
    elif before == wanted:
        return None
    else:
        pools.change(wanted)
        if before.slots == slots:
            reason = f"{reason}; its description or include_deferred was another"
    return MirrorChange(
        pool=wanted.name, before=before.slots if before else None, after=slots, reason=reason
    )


def login_of_fields(
    *,
    host: str | None,
    port: int | str | None = None,
    schema: str | None = None,
    user: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> AirflowLogin:
    """Return the login that the fields of an ``http`` connection mean.

    The extra field ``token`` is used instead of user and password; so is a password without a user.

    :raises SettingsError: the fields name no host.
    """
    if not host:
        raise SettingsError(
            "The connection to Airflow's API names no host.",
            remedy="Write the API server's address, such as http://127.0.0.1:8080.",
        )
    address = host if "://" in host else f"{schema or 'http'}://{host}"
    if port:
        address = f"{address.rstrip('/')}:{port}"
    token = (extra or {}).get("token") or (None if user else password) or None
    return AirflowLogin(url=address, user=user or None, password=password, token=token)


def login_of_text(text: str) -> AirflowLogin:
    """Return the login that a connection variable means: Airflow's JSON, or a URI.

    :raises SettingsError: it is neither.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            said = json.loads(text)
            extra = said.get("extra") or {}
            extra = json.loads(extra) if isinstance(extra, str) else extra
        except json.JSONDecodeError as error:
            raise SettingsError(
                f"The connection to Airflow's API is no valid JSON: {error}.", remedy="Correct it."
            ) from error
        return login_of_fields(
            host=said.get("host"), port=said.get("port"), schema=said.get("schema"),
            user=said.get("login"), password=said.get("password"), extra=extra,
        )  # fmt: skip
    parts = urlsplit(text)
    return login_of_fields(
        host=unquote(parts.hostname) if parts.hostname else None,
        port=parts.port,
        schema=parts.path.strip("/") or (parts.scheme if parts.scheme == "https" else None),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        extra=dict(parse_qsl(parts.query)),
    )
