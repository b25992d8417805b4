"""``airflow-ai gpu discover``: what can be leased on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.commands.output import DONE, emit, open_store, table
from airflow_ai_provider.core.errors import GpuDriverError
from airflow_ai_provider.core.gpu.devices import Device, PartialView


def register(commands: Any) -> None:
    """Add the action to those of ``airflow-ai gpu``."""
    discover = commands.add_parser(
        "discover", help="the devices of this machine, from its driver and its settings"
    )
    discover.add_argument(
        "--register", action="store_true", help="write them into the store as this host's"
    )
    discover.set_defaults(run=run_discover)


def run_discover(args: argparse.Namespace) -> int:
    """List the devices of this machine; each as ``core.gpu.devices.Device`` has it.

    :raises GpuDriverError: the driver tells nothing, so that nobody knows what is here.
    """
    from airflow_ai_provider.services.gpu_inventory import inventory_of
    from airflow_ai_provider.services.settings import GpuSettings

    settings = GpuSettings.from_environment()
    inventory = inventory_of(settings)
    devices = inventory.devices()
    if inventory.trouble is not None and not inventory.trouble.means_none:
        raise GpuDriverError(inventory.trouble.sentence, remedy=inventory.trouble.remedy)
    if args.register:
        _register(args, settings, devices)
    emit(args, [asdict(device) for device in devices or ()], _lines(devices))
    return DONE


def _register(args: argparse.Namespace, settings: Any, devices: tuple[Device, ...] | None) -> None:
    from airflow_ai_provider.services.gpu import GpuPool

    GpuPool(open_store(args, create=True), settings).register(devices)


def _lines(devices: tuple[Device, ...] | None) -> Iterator[str]:
    if not devices:
        yield (
            "There are no devices to lease on this machine. `airflow-ai doctor` says what it "
            "looked at; [ai_provider] static_devices declares what no driver reports."
        )
    else:
        rows = [
            (d.uuid, d.kind.value, d.mig_profile, d.memory_mib, d.model, d.health.value, d.reason)
            for d in devices
        ]
        yield from table(rows, ("DEVICE", "KIND", "PROFILE", "MIB", "MODEL", "HEALTH", "REASON"))
    if isinstance(devices, PartialView):
        yield f"Not every device could be seen: {devices.why}"
