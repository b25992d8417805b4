"""``airflow-ai gpu``: look at the GPU-slot pool, and decide about its devices and leases."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from airflow_ai_provider.commands import gpu_admin, gpu_discover, gpu_pools, gpu_quota
from airflow_ai_provider.commands.output import DONE, add_viewer, emit, open_store, sight, table
from airflow_ai_provider.core.gpu.planner import sentence
from airflow_ai_provider.store.gpu_status import snapshot


def register(subparsers: Any) -> None:
    """Add the command."""
    gpu = subparsers.add_parser("gpu", help="the GPU-slot pool")
    commands = gpu.add_subparsers(metavar="ACTION", required=True)
    status = commands.add_parser("status", help="devices, who holds them, and who waits for what")
    add_viewer(status)
    status.set_defaults(run=run_status)
    gpu_admin.register(commands)
    gpu_discover.register(commands)
    gpu_pools.register(commands)
    gpu_quota.register(commands)


def run_status(args: argparse.Namespace) -> int:
    """Show the pool as it is."""
    store = open_store(args)
    document = snapshot(store, hidden=sight(args, store).projects)
    emit(args, document, _lines(document))
    return DONE


def _lines(document: dict[str, Any]) -> Iterator[str]:
    if not document["devices"]:
        yield (
            "No device is known. The first lease on a host registers its devices, and so does "
            "`airflow-ai gpu discover --register` there."
        )
        return
    rows = []
    for device in document["devices"]:
        held = [f"{h['task']} ({h['state']})" for h in device["holders"]] or ["free"]
        memory = f"{device['used_mib']}/{device['memory_mib']}" if device["memory_mib"] else "-"
        rows.append(
            (device["host"], device["uuid"], device["kind"], memory, device["health"], held[0])
        )
        rows.extend(("", "", "", "", "", more) for more in held[1:])
    yield from table(rows, ("HOST", "DEVICE", "KIND", "MIB", "HEALTH", "HELD BY"))
    leases = {h["id"]: h for device in document["devices"] for h in device["holders"]}
    if told := [h for h in leases.values() if h.get("reason")]:
        yield ""
        yield from (f"Lease {h['id']} ({h['state']}): {h['reason']}." for h in told)
    if document["queue"]:
        yield ""
        waiting = [
            (
                q["priority"],
                f"{q['waiting_s']:.0f} s",
                q["expected_start"] and f"{q['expected_start']:%d %b %H:%M:%S}",
                q["task"],
                sentence(q["reason"]),
            )
            for q in document["queue"]
        ]
        yield from table(waiting, ("PRIORITY", "WAITING", "EXPECTED (UTC)", "TASK", "WHY"))
    if away := [h for h in document["hosts"] if h["state"] == "away"]:
        yield ""
        for host in away:
            yield f"Host {host['name']} is away: nobody there renews its leases."
