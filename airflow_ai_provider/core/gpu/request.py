"""What somebody asks of the pool: whole devices, a share of one, or a MIG instance."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.core.gpu.devices import DEFAULT_POOL, Device, DeviceKind
from airflow_ai_provider.core.gpu.memory import parse_memory
from airflow_ai_provider.core.gpu.nodes import allows

PHASES = ("discovery", "pilot", "production", "maintenance")
_MIG_PROFILE = re.compile(r"(\d+c\.)?\d+g\.\d+gb(\+[a-z0-9.]+)*")


@dataclass(frozen=True, kw_only=True)
class GpuRequest:
    """A checked request. Exactly one of ``gpus``, ``memory_mib`` and ``mig_profile`` is set."""

    gpus: int | None = None
    memory_mib: int | None = None
    mig_profile: str | None = None
    gpu_model: str | None = None
    gpu_pool: str = DEFAULT_POOL
    priority: int = 0
    team: str | None = None
    project: str | None = None
    phase: str | None = None
    estimate: float | None = None
    max_wait: float | None = None
    idle_limit: float | None = None
    placement: str | None = None  # of a pod: see core.gpu.nodes
    gang: str | None = None  # with whom it is served, or not at all: see core.gpu.gangs
    gang_size: int | None = None

    @classmethod
    def of(
        cls,
        *,
        gpus: Any = None,
        gpu_memory: Any = None,
        mig_profile: Any = None,
        gpu_model: Any = None,
        gpu_pool: Any = DEFAULT_POOL,
        priority: Any = 0,
        team: Any = None,
        project: Any = None,
        phase: Any = None,
        estimate: Any = None,
        max_wait: Any = None,
        idle_limit: Any = None,
    ) -> GpuRequest:
        """Check arguments as a user gives them: templates make numbers text.

        Nothing given means one whole device.

        :raises GpuRequestError: an argument means nothing, or two contradict each other.
        """
        given = [
            name
            for name, value in (
                ("gpus", gpus),
                ("gpu_memory", gpu_memory),
                ("mig_profile", mig_profile),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise GpuRequestError(
                f"A request cannot ask for {' and '.join(given)} together.",
                remedy="Ask for whole devices, for memory of one, or for a MIG instance.",
            )
        return cls(
            gpus=_count(1 if not given else gpus) if not given or gpus is not None else None,
            memory_mib=None if gpu_memory is None else parse_memory(gpu_memory),
            mig_profile=None if mig_profile is None else _profile(mig_profile),
            gpu_model=_text("gpu_model", gpu_model),
            gpu_pool=_text("gpu_pool", gpu_pool) or DEFAULT_POOL,
            priority=_integer("priority", 0 if priority is None else priority),
            team=_text("team", team),
            project=_text("project", project),
            phase=_phase(phase),
            estimate=_seconds("estimate", estimate),
            max_wait=_seconds("max_wait", max_wait),
            idle_limit=_seconds("idle_limit", idle_limit),
        )

    @property
    def wanted(self) -> int:
        """How many devices of one host are asked for."""
        return self.gpus or 1

    def suits(self, device: Device) -> bool:
        """Whether ``device``, healthy and free, could serve this request."""
        if device.pool != self.gpu_pool:
            return False
        if self.placement is None:
            if device.node is not None:
                return False
        elif not allows(self.placement, device.node):
            return False
        if self.gpu_model and self.gpu_model.casefold() not in device.model.casefold():
            return False
        if self.mig_profile is not None:
            return device.mig_profile == self.mig_profile
        if device.kind is DeviceKind.MIG:
            return False
        return self.memory_mib is None or (device.shareable_mib or 0) >= self.memory_mib

    def describe(self) -> str:
        """Return the request in a few words, for logs and errors."""
        if self.memory_mib is not None:
            what = f"{self.memory_mib} MiB of one device"
        elif self.mig_profile is not None:
            what = f"one MIG instance {self.mig_profile}"
        else:
            what = f"{self.gpus} whole device{'' if self.gpus == 1 else 's'}"
        model = f" of model {self.gpu_model!r}" if self.gpu_model else ""
        together = f", {self.gang_size} times together," if self.gang_size else ""
        return f"{what}{together}{model} in pool {self.gpu_pool!r}"


def _count(value: Any) -> int:
    count = _integer("gpus", value)
    if count < 1:
        raise GpuRequestError(
            f"gpus={value!r} asks for nothing.", remedy="Ask for one or more whole devices."
        )
    return count


def _integer(name: str, value: Any) -> int:
    number = _number(value)
    if number is None or not number.is_integer():
        raise GpuRequestError(
            f"{name}={value!r} is no whole number.", remedy="Write a number such as 1."
        )
    if abs(number) >= 2**31:
        raise GpuRequestError(
            f"{name}={value!r} is out of range.", remedy="Write less than 2147483648."
        )
    return int(number)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise GpuRequestError(
            f"{name}={value!r} is no number of seconds.", remedy="Write seconds, such as 600."
        )
    return seconds


def _number(value: Any) -> float | None:
    """Return ``value``, which templates may have made text, as a number; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > 250:
        raise GpuRequestError(
            f"{name}={value!r} is no name.", remedy="Write a text of 1 to 250 characters."
        )
    return value.strip()


def _phase(value: Any) -> str | None:
    phase = _text("phase", value)
    if phase is not None and phase not in PHASES:
        raise GpuRequestError(
            f"phase={value!r} is no phase of a project.", remedy=f"Use one of {', '.join(PHASES)}."
        )
    return phase


def _profile(value: Any) -> str:
    profile = (_text("mig_profile", value) or "").lower()
    if not _MIG_PROFILE.fullmatch(profile):
        raise GpuRequestError(
            f"mig_profile={value!r} is no MIG profile.", remedy='Write one such as "1g.10gb".'
        )
    return profile
