"""Public fakes for tests of your own code: a store in memory, a clock that you move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from airflow_ai_provider.core.errors import RegistryNotFoundError, RegistryUnavailableError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.promotion.registry import ModelVersion
from airflow_ai_provider.store.engine import MEMORY_URL, Store

_Value = TypeVar("_Value")


def memory_store() -> Store:
    """Return an empty store that lives in this process's memory, its tables made."""
    return Store.open(MEMORY_URL)


class FakeRegistry:
    """A model registry in memory, with the port of ``core.promotion.registry``.

    While ``away`` is true it does not answer; ``calls`` lists what was asked.
    """

    address = "memory://registry"

    def __init__(self) -> None:
        self.away = False
        self.calls: list[str] = []
        self._versions: dict[str, dict[str, ModelVersion]] = {}
        self._aliases: dict[str, dict[str, str]] = {}

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias."""
        self._asked("aliases")
        return dict(self._known(self._aliases, name, name))

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""
        self._asked("get_version")
        return self._known(self._versions.get(name, {}), version, f"{name} {version}")

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Return the versions of the model, oldest first."""
        self._asked("find_versions")
        found = self._versions.get(name, {}).values()
        return [v for v in found if run_id is None or v.run_id == run_id]

    def create_model(self, name: str) -> None:
        """Make the registered model."""
        self._asked("create_model")
        self._versions.setdefault(name, {})
        self._aliases.setdefault(name, {})

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the next version."""
        self._asked("create_version")
        versions = self._known(self._versions, name, name)
        made = ModelVersion(
            name=name,
            version=str(len(versions) + 1),
            run_id=run_id,
            source=model_uri,
            tags=dict(tags),
        )
        versions[made.version] = made
        return made

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Move the alias."""
        self._asked("set_alias")
        self._known(self._versions.get(name, {}), version, f"{name} {version}")
        self._aliases[name][alias] = version

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        self._asked("set_tags")
        standing = self._known(self._versions.get(name, {}), version, f"{name} {version}")
        self._versions[name][version] = replace(standing, tags={**standing.tags, **tags})

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.away:
            raise RegistryUnavailableError("The registry memory://registry does not answer.")

    def _known(self, among: Mapping[str, _Value], key: str, what: str) -> _Value:
        if key not in among:
            raise RegistryNotFoundError(f"The registry memory://registry does not know {what}.")
        return among[key]


class FakeClock:
    """A clock that stands still until you move it; serves as the lease clock of ``GpuStore``."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start

    def __call__(self, _connection: object = None) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds


def fake_devices(
    count: int = 2, *, host: str = "testhost", model: str = "fake", memory_mib: int | None = None
) -> tuple[Device, ...]:
    """Return ``count`` healthy static devices ``fake:0``, ``fake:1`` and so on."""
    return tuple(
        Device(uuid=f"{model}:{number}", host=host, model=model, memory_mib=memory_mib)
        for number in range(count)
    )
