"""A cluster behind a Kubernetes connection, in a task's process and in the triggerer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager
    from kubernetes.client import ApiClient

    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.services.gpu_cluster import ClusterPool

_WAYS_IN = ("in_cluster", "kube_config", "kube_config_path")


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """How to reach a cluster without asking Airflow for the connection: a trigger's arguments."""

    config_dict: dict[str, Any] | None = None
    cluster_context: str | None = None
    in_cluster: bool | None = None
    connection_extras: dict[str, Any] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The access as a trigger keeps it, encrypted."""
        return asdict(self)


def client_of(access: ClusterAccess) -> ApiClient:
    """Return a client of the cluster, made as the Kubernetes provider's own hook makes it."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    extras = access.connection_extras or {}
    by_connection = any(extras.get(way) for way in _WAYS_IN)
    hook = KubernetesHook(
        conn_id=None,
        kubernetes_conn_id=None,
        config_dict=None if by_connection else access.config_dict,
        cluster_context=access.cluster_context,
        in_cluster=access.in_cluster,
    )
    hook.__dict__["conn_extras"] = extras  # what it would read of the connection
    return hook.api_client


def cluster_of(pool: GpuPool, client: ApiClient, *, resource: str) -> ClusterPool:
    """Return the slots of a cluster in the store of ``pool``."""
    from airflow_ai_provider.adapters.kubernetes import KubernetesApi
    from airflow_ai_provider.services.gpu_cluster import ClusterPool

    return ClusterPool(pool, KubernetesApi(client), resource=resource)


def result_of(pod: dict[str, Any], pods: PodManager) -> str:
    """Return the result that a pod's sidecar holds, as JSON, and end the sidecar.

    :raises ClusterError: the pod is gone, or the API server refuses.
    """
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client.exceptions import ApiException

    from airflow_ai_provider.adapters.kubernetes_refusals import refuse, refused_stream

    model = PodGenerator.deserialize_model_dict(pod)
    try:
        return str(pods.extract_xcom(model, ignore_kill_failure=False))
    except (ApiException, AttributeError) as error:
        if (refused := refused_stream(error)) is not None:
            raise refused from error
        if isinstance(error, ApiException):
            refuse(error)
        raise
