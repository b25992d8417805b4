"""Copy a model version to another server, for environments that have a server each.

Imported from ``operators.promotion`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_ai_provider.links.promotion import ModelVersionLink
from airflow_ai_provider.operators._moves import REGISTRY, STORE, for_good, place_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelCopyOperator(BaseOperator):
    """Copy a model version to another MLflow server, whole or not at all.

    Every file is read back from the target and must have the digest of what was fetched; only then
    the version is made, with the source's tags, metrics, parameters and signature, and with its
    lineage in its tags and in the ledger. A retry goes on where the copy was; of several tasks that
    copy the same version one does, and the others find what it made. The copy may then be promoted
    on the decision about its source, along the steps that its source took.

    Needs MLflow's own client on the worker (extra ``mlflow`` or ``mlflow-skinny``). The runs of
    copies are in the experiment ``airflow-ai copies``, which the first copy makes: on a server that
    asks who is there, whoever else copies needs the permission EDIT on it.

    Returns ``{"model_name", "version", "run_id", "source", "manifest", "files", "bytes",
    "record"}``; ``model_name`` and ``version`` are the copy's.

    :param model_name: the registered model on the source server.
    :param version: its version.
    :param target_name: the registered model that takes the copy; another name than ``model_name``,
        for the ledger knows models by name.
    :param source_conn_id: the connection of the source's registry.
    :param mlflow_conn_id: the connection of the target's registry.
    :param work_dir: folder for the files on their way, which survive a crash; one of the worker's
        user in the temporary folder unless said.
    :param project: the project that the record names.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "version",
        "target_name",
        "source_conn_id",
        "mlflow_conn_id",
        "work_dir",
        "project",
        "store_conn_id",
    )
    operator_extra_links = (ModelVersionLink(),)
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        model_name: str,
        version: str | int,
        target_name: str,
        source_conn_id: str = REGISTRY,
        mlflow_conn_id: str,
        work_dir: str | None = None,
        project: str | None = None,
        store_conn_id: str = STORE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.version = version
        self.target_name = target_name
        self.source_conn_id = source_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        self.work_dir = work_dir
        self.project = project
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Fetch, store, read back, make the version, record."""
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.hooks.store import AiStoreHook, origin_of
        from airflow_ai_provider.services.promotion import CopyOrder, copy_model

        source, target = map(ModelRegistryHook, (self.source_conn_id, self.mlflow_conn_id))
        order = CopyOrder(
            model_name=self.model_name,
            version=str(self.version),
            target_name=self.target_name,
            project=self.project or None,
        )
        origin = origin_of(context)
        with for_good():  # what another try mends goes on where the copy was
            done = copy_model(
                order,
                source=source.get_files(),
                target=target.get_files(),
                registry=target.get_conn(),
                ledger=AiStoreHook(self.store_conn_id).ledger,
                copied_by=place_of(origin),
                work=Path(self.work_dir) if self.work_dir else None,
                decided_by=type(self).__name__,
                origin=origin,
            )
        ModelVersionLink.persist(
            context, self.mlflow_conn_id, order.target_name, done.version.version
        )
        said = done.record.evidence
        return {
            "model_name": order.target_name,
            "version": done.version.version,
            "run_id": done.version.run_id,
            "source": said["copied_from"]["subject"],
            "manifest": said["manifest"],
            "files": said["files"],
            "bytes": said["bytes"],
            "record": done.record.id,
        }
