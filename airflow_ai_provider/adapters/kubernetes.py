"""The API server of a cluster, as far as devices and the pods on them are concerned.

Answers are read as JSON: the client's models cost several times the memory and time of it. Every
refusal is one of our errors; what may pass is a ``ClusterUnavailableError``.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.kubernetes_refusals import away, refuse, refuse_status
from airflow_ai_provider.core.errors import (
    ClusterError,
    ClusterGoneError,
    ClusterUnavailableError,
    in_one_line,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_CONNECT, _READ = 5.0, 30.0  # seconds
_AGAIN = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try
_OF_TASKS = "kubernetes_pod_operator=True"
_NOT_OVER = "status.phase!=Succeeded,status.phase!=Failed"

Listed = tuple[list[dict[str, Any]], str]  # the items, and the version to watch from


class KubernetesApi:
    """One cluster, through ``api_client``: a ``kubernetes.client.ApiClient`` that is configured."""

    def __init__(self, api_client: ApiClient) -> None:
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self._core = CoreV1Api(api_client)
        self._custom = CustomObjectsApi(api_client)
        self.address = str(api_client.configuration.host)

    def identity(self) -> str:
        """Return what tells this cluster from every other: the UID of its ``kube-system``."""
        answer = self._ask(self._core.read_namespace, "kube-system")
        return str(answer["metadata"]["uid"])

    def nodes(self) -> Listed:
        """Return all nodes."""
        return self._list(self._core.list_node)

    def pods(self) -> Listed:
        """Return the pods of all namespaces that have not ended."""
        return self._list(self._core.list_pod_for_all_namespaces, field_selector=_NOT_OVER)

    def task_pods(self) -> Listed:
        """Return the pods that tasks of Airflow made, ended ones too."""
        return self._list(self._core.list_pod_for_all_namespaces, label_selector=_OF_TASKS)

    def watch_task_pods(self, version: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what happens to the pods of tasks after ``version``."""
        listing = self._core.list_pod_for_all_namespaces
        return self._watch(listing, version, seconds, label_selector=_OF_TASKS)

    def quotas(self, namespace: str) -> Listed:
        """Return the quotas of a namespace."""
        return self._list(self._core.list_namespaced_resource_quota, namespace)

    def watch_nodes(self, version: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what happens to nodes after ``version``, for about so many seconds."""
        return self._watch(self._core.list_node, version, seconds)

    def watch_pods(self, version: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what happens to pods after ``version``; one that ended counts as deleted."""
        listing = self._core.list_pod_for_all_namespaces
        return self._watch(listing, version, seconds, field_selector=_NOT_OVER)

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a pod; None when the API server says that there is none."""
        try:
            return self._ask(self._core.read_namespaced_pod, name, namespace)
        except ClusterGoneError:
            return None

    def node(self, name: str) -> dict[str, Any] | None:
        """Return a node; None when there is none."""
        try:
            return self._ask(self._core.read_node, name)
        except ClusterGoneError:
            return None

    def delete_pod(self, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None:
        """Delete this very pod, and not one that has its name since; that it is gone is fine.

        ``at_once`` does not wait for its node to confirm: for a node that cannot.
        """
        from kubernetes.client import V1DeleteOptions, V1Preconditions

        options = V1DeleteOptions(preconditions=V1Preconditions(uid=uid))
        if at_once:
            options.grace_period_seconds = 0
        try:
            self._ask(self._core.delete_namespaced_pod, name, namespace, body=options)
        except ClusterGoneError:
            return
        except ClusterError as error:
            if error.facts.get("status") != 412:  # another pod has its name
                raise

    def workloads(self, namespace: str) -> list[dict[str, Any]]:
        """Return Kueue's Workloads of a namespace.

        :raises ClusterGoneError: the cluster has no Kueue.
        """
        answer = self._patiently(
            self._custom.list_namespaced_custom_object,
            "kueue.x-k8s.io", "v1beta1", namespace, "workloads",
            _request_timeout=(_CONNECT, _READ),
        )  # fmt: skip
        items: list[dict[str, Any]] = answer["items"]
        return items

    def _list(self, listing: Callable[..., Any], *where: str, **selectors: str) -> Listed:
        answer = self._ask(listing, *where, **selectors)
        return answer["items"], answer["metadata"]["resourceVersion"]

    def _ask_once(self, operation: Callable[..., Any], *where: Any, **given: Any) -> dict[str, Any]:
        """Do what must not be done twice."""
        given |= {"_preload_content": False, "_request_timeout": (_CONNECT, _READ)}
        found: dict[str, Any] = json.loads(self._call(operation, *where, **given).data)
        return found

    def _ask(self, operation: Callable[..., Any], *where: str, **given: Any) -> dict[str, Any]:
        given |= {"_preload_content": False, "_request_timeout": (_CONNECT, _READ)}
        answer = self._patiently(operation, *where, **given)
        found: dict[str, Any] = json.loads(answer.data)
        return found

    def _patiently(self, operation: Callable[..., Any], *where: Any, **given: Any) -> Any:
        """Do what may be done twice, and again when the API server could not just then."""
        for pause in _AGAIN:
            try:
                return self._call(operation, *where, **given)
            except ClusterUnavailableError as error:  # noqa: PERF203 - that is what is waited out
                if not error.facts.get("status"):  # nobody there: the client has tried again
                    raise
                # those that were turned away together must not come back together
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        return self._call(operation, *where, **given)

    def _watch(
        self, listing: Callable[..., Any], version: str, seconds: int, **selectors: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        answer = self._call(
            listing,
            **selectors,
            watch=True,
            resource_version=version,
            timeout_seconds=seconds,
            _preload_content=False,
            _request_timeout=(_CONNECT, seconds + _READ),
        )
        try:
            for event in _events(answer):
                if event["type"] == "ERROR":
                    refuse_status(event["object"].get("code", 500), event["object"])
                yield event["type"], event["object"]
        except (OSError, _http_error()) as error:
            raise away(error) from error
        finally:
            answer.close()

    def _call(self, operation: Callable[..., Any], *where: Any, **given: Any) -> Any:
        from kubernetes.client.exceptions import ApiException

        try:
            return operation(*where, **given)
        except ApiException as error:
            refuse(error)
        except (OSError, _http_error()) as error:
            raise away(error) from error


def client_from(
    *, kubeconfig: str | None = None, context: str | None = None, in_cluster: bool = False
) -> ApiClient:
    """Return a client as ``kubectl`` would: from a file, ``KUBECONFIG``, or the pod that this is.

    :raises ClusterUnavailableError: there is no way in.
    """
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config.config_exception import ConfigException

    try:
        if not in_cluster:
            return config.new_client_from_config(config_file=kubeconfig, context=context)
        settings = Configuration()
        config.load_incluster_config(client_configuration=settings)
        return ApiClient(settings)
    except (ConfigException, OSError) as error:
        raise ClusterUnavailableError(
            f"There is no way into a cluster: {in_one_line(error)}.",
            remedy="Name a file with --kubeconfig, or say --in-cluster in a pod.",
        ) from error


def _events(answer: Any) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in answer.stream(amt=None):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _http_error() -> type[Exception]:
    from urllib3.exceptions import HTTPError

    kind: type[Exception] = HTTPError
    return kind
