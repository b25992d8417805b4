"""``airflow-ai gpu reap | drain | undrain | quarantine | release``: each leaves its record."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from airflow_ai_provider.commands.gpu_cluster import add_cluster, add_owners, run_reap_cluster
from airflow_ai_provider.commands.gpu_turns import turns_of
from airflow_ai_provider.commands.output import DONE, REFUSED, emit, fail, open_store
from airflow_ai_provider.core.errors import GpuAdminError
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.gpu_admin import (
    DRAINED,
    IN_SERVICE,
    QUARANTINED,
    force_release,
    give_up_host,
    set_standing,
)

_DEVICE_COMMANDS = (
    ("drain", DRAINED, "grant a device no more; what is held goes on"),
    ("undrain", IN_SERVICE, "grant a drained or quarantined device again"),
    ("quarantine", QUARANTINED, "set a device aside until somebody looked at it"),
)


def register(commands: Any) -> None:
    """Add the actions to ``airflow-ai gpu``."""
    reaping = commands.add_parser(
        "reap", help="end what dead holders left on this host, and release what may be released"
    )
    reaping.add_argument("--timeout", type=float, default=30.0, help="seconds to wait (30)")
    reaping.add_argument("--host", help="with --gone: a host whose leases to take over")
    reaping.add_argument("--gone", action="store_true", help="the host never comes back")
    reaping.add_argument(
        "--sure", action="store_true",
        help="with --gone: you know that it is off; do not wait five minutes, only until its "
        "keeper was silent for the time to live of a lease (recorded)",
    )  # fmt: skip
    reaping.add_argument("--reason", help="why; goes into the ledger")
    add_cluster(reaping)
    add_owners(reaping)
    reaping.set_defaults(run=run_reap)
    for name, state, what in _DEVICE_COMMANDS:
        device = commands.add_parser(name, help=what)
        device.add_argument("device", metavar="DEVICE", help="its UUID or static name")
        device.add_argument("--host", help="where several hosts have a device of that name")
        device.add_argument("--reason", help="why; goes into the ledger", required=state != "")
        device.set_defaults(run=partial(run_standing, state=state))
    release = commands.add_parser("release", help="take a lease from its holder")
    release.add_argument("lease", metavar="LEASE", help="its id, as `gpu status --json` has it")
    release.add_argument(
        "--force", action="store_true", required=True, help="its holder is killed by its keeper"
    )
    release.add_argument("--reason", required=True, help="why; goes into the ledger")
    release.set_defaults(run=run_release)


def run_standing(args: argparse.Namespace, *, state: str) -> int:
    """Take a device out of service or back."""
    from airflow_ai_provider.services.gpu_admin import person

    by = person(args.reason or ("back in service" if state == IN_SERVICE else None))
    done = set_standing(turns_of(args), args.device, on_host=args.host, state=state, by=by)
    emit(args, done, [f"{done['device']} on {done['host']} was {done['was']}, is {done['is']}."])
    return DONE


def run_release(args: argparse.Namespace) -> int:
    """Take a lease away."""
    from airflow_ai_provider.services.gpu_admin import person

    done = force_release(turns_of(args), args.lease, by=person(args.reason))
    names = ", ".join(done["devices"])
    emit(args, done, [f"Lease {done['lease']} ({done['was']}) is released: {names} handed on."])
    return DONE


def run_reap(args: argparse.Namespace) -> int:
    """Clear up on this host; refused while something remains that cannot be released."""
    if args.cluster:
        return run_reap_cluster(args)
    if args.gone or args.host or args.sure:
        return _give_up(args)
    from airflow_ai_provider.services.gpu_admin import reap

    result = reap(open_store(args), timeout=args.timeout)
    remaining = [
        {
            "id": record.id,
            "fence": record.fence,
            "task": record.task.describe(),
            "state": record.state.value,
            "devices": list(record.devices),
            "reason": result.why[record.id],
        }
        for record in result.remaining
    ]
    document = {"released": [record.id for record in result.released], "remaining": remaining}
    lines = [f"{len(result.released)} released, {len(result.remaining)} remain."]
    lines += [f"{r['id']} ({r['state']}): {r['reason']}" for r in remaining]
    emit(args, document, lines)
    return REFUSED if result.remaining else DONE


def _give_up(args: argparse.Namespace) -> int:
    from airflow_ai_provider.services.gpu_admin import person

    if not (args.gone and args.host):
        raise GpuAdminError(
            "Leases of another host are taken over only when it is gone for good.",
            remedy="Say --host NAME --gone --reason WHY.",
        )
    try:
        taken = give_up_host(
            turns_of(args), args.host, by=person(args.reason), sure=args.sure,
            ttl=GpuSettings.from_environment().lease_ttl,
        )  # fmt: skip
    except GpuAdminError as error:
        if not error.facts.get("refused"):
            raise
        fail(args, error)
        return REFUSED
    document = {"released": [lease["lease"] for lease in taken], "remaining": []}
    emit(args, document, [f"{len(taken)} leases of {args.host} are released."])
    return DONE
