"""The settings of ``[ai_provider]`` as code without Airflow sees them."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_ai_provider.core.errors import SettingsError

_PREFIX = "AIRFLOW__AI_PROVIDER__"


@dataclass(frozen=True, kw_only=True)
class GpuSettings:
    """How this host takes part in the pool; ``static_devices`` empty means that nobody said.

    ``node_groups`` is JSON: see ``core.gpu.node_groups``.
    """

    static_devices: str = ""
    lease_ttl: float = 60.0
    device_host: str = ""
    reserve_after: float = 600.0
    node_groups: str = ""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> GpuSettings:
        """Read options by name; those that are absent or empty keep their defaults.

        :raises SettingsError: a value means nothing.
        """
        return cls(
            static_devices=(options.get("static_devices") or "").strip(),
            lease_ttl=_seconds(options, "lease_ttl", cls.lease_ttl, least=1.0),
            device_host=(options.get("device_host") or "").strip(),
            reserve_after=_seconds(options, "reserve_after", cls.reserve_after, least=0.0),
            node_groups=(options.get("node_groups") or "").strip(),
        )

    @classmethod
    def from_environment(cls) -> GpuSettings:
        """Read ``AIRFLOW__AI_PROVIDER__<OPTION>``, as outside Airflow."""
        return cls.of(from_environment(cls.__annotations__))

    @property
    def host_name(self) -> str:
        """The name under which this host registers."""
        return self.device_host or socket.gethostname()


def from_environment(names: Iterable[str]) -> dict[str, str]:
    """Return the options that ``AIRFLOW__AI_PROVIDER__<OPTION>`` gives; empty where it does not."""
    return {name: os.environ.get(_PREFIX + name.upper(), "") for name in names}


def _seconds(options: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = options.get(name)
    if text is None or not str(text).strip():
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (least <= seconds < math.inf):
        raise SettingsError(
            f"The setting {name} is {text!r}.",
            remedy=f"Write a number of seconds, at least {least:g}.",
            setting=name,
        )
    return seconds
