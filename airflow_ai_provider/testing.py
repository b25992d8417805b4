"""Public fakes for tests of your own code: a store, a clock, a model registry, devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from airflow_ai_provider.core.errors import (
    GpuDriverError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Topology
from airflow_ai_provider.core.gpu.driver import CardState, DriverState, Trouble
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.probe import Occupants
from airflow_ai_provider.core.promotion.artifacts import tree_digest
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
        self._files: dict[tuple[str, str], dict[str, bytes]] = {}

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias."""
        self._asked("aliases")
        return dict(self._known(self._aliases, name, name))

    def changed_at(self, name: str) -> str | None:
        """Return when the model changed: nobody notes it here."""
        self._asked("changed_at")
        self._known(self._aliases, name, name)
        return None

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
            version=str(max(map(int, versions), default=0) + 1),
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

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away."""
        self._asked("delete_alias")
        self._known(self._aliases, name, name).pop(alias, None)

    def delete_version(self, name: str, version: str) -> None:
        """Delete a version and, as MLflow does, every alias that names it."""
        self._known(self._versions.get(name, {}), version, f"{name} {version}")
        del self._versions[name][version]
        named = [alias for alias, held in self._aliases[name].items() if held == version]
        for alias in named:
            del self._aliases[name][alias]

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        self._asked("set_tags")
        standing = self._known(self._versions.get(name, {}), version, f"{name} {version}")
        self._versions[name][version] = replace(standing, tags={**standing.tags, **tags})

    def put_files(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Let a version have these files and no others."""
        self._files[name, version] = dict(files)

    def artifact_digest(self, name: str, version: str) -> str:
        """Return the digest of the files of a version."""
        self._asked("artifact_digest")
        if not self._files.get((name, version)):
            raise RegistryNotFoundError(f"Version {version} of {name} has no files.")
        files = self._files[name, version]
        return tree_digest({path: sha256(files[path]).hexdigest() for path in files})

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
    count: int = 2,
    *,
    host: str = "testhost",
    model: str = "fake",
    memory_mib: int | None = None,
    kind: DeviceKind = DeviceKind.STATIC,
    nvlink_pairs: bool = False,
    mig: Sequence[str] = (),
) -> tuple[Device, ...]:
    """Return healthy devices: ``count`` static ones named ``fake:0``, ``fake:1`` and so on.

    With ``kind=DeviceKind.GPU`` they are cards as a driver tells of them, with UUIDs and places on
    the bus; ``nvlink_pairs`` joins them two by two, each half of them to a processor of its own.
    ``mig`` adds one more card, cut into instances of these profiles, such as ``"1g.10gb"``.
    """
    if kind is DeviceKind.STATIC:
        return tuple(
            Device(uuid=f"{model}:{number}", host=host, model=model, memory_mib=memory_mib)
            for number in range(count)
        )
    cards = tuple(
        Device(
            uuid=fake_uuid(number),
            host=host,
            kind=DeviceKind.GPU,
            model=model,
            memory_mib=memory_mib,
            topology=_fake_place(number, count, nvlink_pairs=nvlink_pairs),
            compute_mode="default",
        )
        for number in range(count)
    )
    return cards + tuple(
        Device(
            uuid=fake_uuid(number, "MIG"),
            host=host,
            kind=DeviceKind.MIG,
            model=model,
            memory_mib=int(profile.partition(".")[2].partition("gb")[0]) * 1000,
            mig_profile=profile,
            parent_uuid=fake_uuid(count),
            topology=Topology(bus=_fake_bus(count)),
            compute_mode="default",
        )
        for number, profile in enumerate(mig)
    )


def fake_uuid(number: int, kind: str = "GPU") -> str:
    """Return the UUID of fake card or (``"MIG"``) instance ``number``."""
    return f"{kind}-{number:08x}-fa4e-4000-8000-{number:012x}"


def _fake_bus(number: int) -> str:
    return f"00000000:{0x10 + number:02X}:00.0"


def _fake_place(number: int, count: int, *, nvlink_pairs: bool) -> Topology:
    if not nvlink_pairs:
        return Topology(bus=_fake_bus(number))
    twin = number ^ 1

    def level(other: int) -> str:
        if other == twin:
            return "single"
        return "node" if other * 2 // count == number * 2 // count else "system"

    return Topology(
        bus=_fake_bus(number),
        nvlink=(fake_uuid(twin),) if twin < count else (),
        near=tuple((fake_uuid(other), level(other)) for other in range(count) if other != number),
    )


class FakeProbe:
    """Says who is on each device and how busy it is, as the test set it; the port ``DeviceProbe``.

    ``uncertain`` gives the reason for which the list of a device cannot be believed.
    """

    def __init__(self) -> None:
        self.pids: dict[str, set[int]] = {}
        self.uncertain: dict[str, str] = {}
        self.busy: dict[str, float | None] = {}

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device: nobody, unless set."""
        why = self.uncertain.get(uuid, "")
        return Occupants(
            pids=frozenset(self.pids.get(uuid, ())), is_certain=not why, why_uncertain=why
        )

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy the device was: nobody says, unless set."""
        return self.busy.get(uuid)


class FakeDriver(FakeProbe):
    """A host's driver with the port ``core.gpu.driver.Driver``: ``devices`` as the test set them.

    While ``trouble`` is set it tells nothing. Faults in ``reports`` are told once. ``looks`` counts
    how often it was asked for its devices.
    """

    def __init__(self, devices: tuple[Device, ...] = ()) -> None:
        super().__init__()
        self.devices = devices
        self.trouble: Trouble | None = None
        self.reports: list[Fault] = []
        self.sees_our_pids = True
        self.looks = 0

    def look(self, *, host: str) -> tuple[Device, ...]:
        """Return the devices."""
        self.looks += 1
        self._answer()
        return self.devices

    def faults(self) -> tuple[Fault, ...]:
        """Return what was reported since the last call."""
        self._answer()
        reported, self.reports = tuple(self.reports), []
        return reported

    def state(self) -> DriverState:
        """Return a state that fits the devices."""
        self._answer()
        cards = tuple(
            CardState(uuid=d.uuid, model=d.model, is_persistent=True, is_partitioned=False)
            for d in self.devices
            if d.kind is DeviceKind.GPU
        )
        return DriverState(version="fake", cards=cards, sees_our_pids=self.sees_our_pids)

    def _answer(self) -> None:
        if self.trouble is not None:
            raise GpuDriverError(
                self.trouble.sentence, remedy=self.trouble.remedy, trouble=self.trouble
            )
