"""Look at the devices of this machine and at the driver that tells of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_ai_provider.core.errors import GpuDriverError, SettingsError
from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, PartialView
from airflow_ai_provider.core.gpu.driver import Driver, DriverState, Trouble
from airflow_ai_provider.services.doctor_checks import Check
from airflow_ai_provider.services.gpu_inventory import Inventory, nvml_driver
from airflow_ai_provider.services.settings import GpuSettings

_DECLARE = (
    "Declare some in [ai_provider] static_devices or AIRFLOW__AI_PROVIDER__STATIC_DEVICES, such as "
    "cpu:0."
)


def devices(settings: GpuSettings | None = None, driver: Driver | None = None) -> Iterator[Check]:
    """Yield what there is to lease and what is the matter with it."""
    driver = driver or nvml_driver()
    try:
        settings = settings or GpuSettings.from_environment()
        found = Inventory(settings, driver=driver).devices()
        found = () if found is None else found  # an empty view may still say why
    except SettingsError as error:
        yield Check(name="devices", ok=False, message=error.message, remedy=error.remedy)
        return
    yield _found(found)
    try:
        state = driver.state()
    except GpuDriverError as error:
        trouble = Trouble(error.facts["trouble"])
        yield Check(
            name="nvidia driver",
            ok=trouble is Trouble.NO_LIBRARY,
            message=f"{error.message} ({error.facts.get('detail')})",
            remedy=None if trouble is Trouble.NO_LIBRARY else error.remedy,
        )
        return
    yield from _driver(state)
    yield from _health(found)
    yield from _modes(found, state)


def _found(found: Sequence[Device]) -> Check:
    kinds = {
        DeviceKind.GPU: "whole GPUs",
        DeviceKind.MIG: "MIG instances",
    }
    counts = {kind: sum(d.kind is kind for d in found) for kind in kinds}
    seen = [f"{counts[kind]} {words}" for kind, words in kinds.items() if counts[kind]]
    static = [d.uuid for d in found if d.kind is DeviceKind.STATIC]
    seen += [f"declared: {', '.join(static)}"] if static else []
    return Check(
        name="devices",
        ok=True,
        message=f"Devices: {'; '.join(seen)}." if seen else "There are no devices to lease.",
        remedy=None if seen else _DECLARE,
    )


def _driver(state: DriverState) -> Iterator[Check]:
    yield Check(
        name="nvidia driver",
        ok=True,
        message=f"NVIDIA's driver {state.version} tells of {len(state.cards)} cards.",
    )
    yield Check(
        name="pid namespace",
        ok=True,
        message="The driver's list of processes is in the pids of this machine."
        if state.sees_our_pids
        else "Warning: the driver's list of processes is in the pids of the machine, not of this "
        "container. Devices of holders that died are handed on only when hardly any of their "
        "memory is used, and set aside otherwise.",
        remedy=None
        if state.sees_our_pids
        else "Run workers in the host's pid namespace (hostPID: true, --pid=host).",
    )
    cold = [card.uuid for card in state.cards if card.is_persistent is False]
    if cold:
        yield Check(
            name="persistence mode",
            ok=True,
            message=f"Off on {len(cold)} of {len(state.cards)} cards: each first look at an idle "
            "card may take seconds.",
            remedy="Run nvidia-persistenced, or nvidia-smi -pm 1.",
        )


def _health(found: Sequence[Device]) -> Iterator[Check]:
    ill = [f"{d.uuid}: {d.reason}" for d in found if d.health is not Health.HEALTHY]
    if isinstance(found, PartialView) and not ill:
        ill = [found.why]
    if ill:
        yield Check(
            name="device health",
            ok=False,
            message=f"Not healthy, and not granted: {'; '.join(ill)}.",
            remedy="Look into the kernel's log for NVRM: Xid; reset the card or restart.",
        )


def _modes(found: Sequence[Device], state: DriverState) -> Iterator[Check]:
    alone = [d.uuid for d in found if (d.compute_mode or "").startswith("exclusive")]
    if alone:
        yield Check(
            name="compute mode",
            ok=True,
            message=f"Warning: {', '.join(alone)} take one process at a time: of two leases of "
            "memory shares on one of them, the second fails, as do programs of several processes.",
            remedy="Lease them whole, or run nvidia-smi -c DEFAULT.",
        )
    empty = [card.uuid for card in state.cards if card.is_partitioned and not card.instances]
    if empty:
        yield Check(
            name="mig",
            ok=True,
            message=f"Warning: MIG is on, and there is no instance, on {', '.join(empty)}: nothing "
            "of them can be leased.",
            remedy="Make instances (nvidia-smi mig -cgi ... -C), or turn MIG off.",
        )
