"""``--cluster`` of ``airflow-ai gpu reap`` and ``airflow-ai doctor``: the same for a cluster."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_ai_provider.commands.output import DONE, REFUSED, emit, open_store
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE
from airflow_ai_provider.services.gpu_pools import CONNECTION, login_of_text

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.airflow_api import AirflowTasks
    from airflow_ai_provider.services.doctor_checks import Check
    from airflow_ai_provider.services.gpu_cluster import ClusterPool
    from airflow_ai_provider.services.gpu_cluster_reap import ClusterReaped


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the ways into a cluster to a command."""
    ways = parser.add_argument_group("a cluster")
    ways.add_argument("--cluster", action="store_true", help="look at a cluster, as kubectl would")
    ways.add_argument("--kubeconfig", metavar="FILE", help="its file; KUBECONFIG unless said")
    ways.add_argument("--context", metavar="NAME", help="a context of the file")
    ways.add_argument("--in-cluster", action="store_true", help="the cluster of this very pod")
    ways.add_argument(
        "--resource", metavar="R", default=DEFAULT_RESOURCE, help=f"({DEFAULT_RESOURCE})"
    )


def add_owners(parser: argparse.ArgumentParser) -> None:
    """Add where one asks what became of tasks."""
    parser.add_argument(
        "--api-conn-id",
        metavar="ID",
        help="with --cluster: the connection to Airflow's REST API, of type http, to ask what "
        f"became of the tasks of pods; {CONNECTION} where the environment has it",
    )


def run_reap_cluster(args: argparse.Namespace) -> int:
    """Clear up on a cluster; refused while something remains, or nobody knows whose it is."""
    from airflow_ai_provider.services.gpu_cluster_reap import reap_cluster

    owners = _owners(args)
    done = reap_cluster(cluster_of(args), owners, timeout=args.timeout)
    document = {**done.document, "owners_asked": owners is not None}
    emit(args, document, _lines(done, asked=owners is not None))
    return REFUSED if done.remaining or done.unknown else DONE


def examine(args: argparse.Namespace) -> list[Check]:
    """Return what a look at the cluster finds."""
    from airflow_ai_provider.core.errors import AirflowAiError
    from airflow_ai_provider.services.doctor_checks import Check
    from airflow_ai_provider.services.gpu_cluster_reap import examine_cluster

    try:
        return list(examine_cluster(cluster_of(args)))
    except AirflowAiError as error:  # no way into it, or no store
        return [Check(name="cluster", ok=False, message=error.message, remedy=error.remedy)]


def cluster_of(args: argparse.Namespace) -> ClusterPool:
    """Return the slots of the cluster that the arguments name."""
    from airflow_ai_provider.adapters.kubernetes import KubernetesApi, client_from
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.services.gpu_cluster import ClusterPool

    store = open_store(args)
    client = client_from(
        kubeconfig=args.kubeconfig, context=args.context, in_cluster=args.in_cluster
    )
    return ClusterPool(GpuPool(store), KubernetesApi(client), resource=args.resource)


def _owners(args: argparse.Namespace) -> AirflowTasks | None:
    from airflow_ai_provider.adapters.airflow_api import AirflowTasks

    said = os.environ.get(f"AIRFLOW_CONN_{(args.api_conn_id or CONNECTION).upper()}")
    if said:
        return AirflowTasks(login_of_text(said))
    if args.api_conn_id is None:
        return None
    from airflow_ai_provider.hooks.gpu import api_login  # asks Airflow; costs its import

    return AirflowTasks(api_login(args.api_conn_id))


def _lines(done: ClusterReaped, *, asked: bool) -> Iterator[str]:
    yield (
        f"{len(done.released)} leases released, {len(done.deleted)} pods deleted, "
        f"{len(done.remaining)} leases remain in doubt."
    )
    yield from (f"Deleted {orphan.pod}: {orphan.why}." for orphan in done.deleted)
    yield from (f"Lease {r.id} ({r.state.value}): {r.reason}." for r in done.remaining)
    yield from (f"Left alone {orphan.pod}: {orphan.why}." for orphan in done.unknown)
    if not asked:
        yield "Airflow was not asked what became of the tasks of pods: see --api-conn-id."
