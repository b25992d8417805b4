"""Projects from an Airflow task: their file, their milestones, their phases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow_ai_provider.core.gate import GateRecord
    from airflow_ai_provider.core.lifecycle.kpis import KpiValue
    from airflow_ai_provider.core.lifecycle.project import Project
    from airflow_ai_provider.core.promotion.registry import ModelRegistry
    from airflow_ai_provider.services.lifecycle import (
        Caller,
        Lifecycle,
        MilestoneResult,
        PhaseResult,
        ProjectFile,
    )
    from airflow_ai_provider.services.retiring import Retired


class ProjectHook(BaseHook):
    """Read project files and decide on milestones and phases.

    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the model registry, which the pilot phase's gate asks.
    """

    def __init__(
        self,
        store_conn_id: str = "ai_store_default",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        self._lifecycle: Lifecycle | None = None

    def get_conn(self) -> Lifecycle:
        """Return the lives of the projects in the store."""
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.lifecycle import Lifecycle

        if self._lifecycle is None:
            self._lifecycle = Lifecycle(AiStoreHook(self.store_conn_id).get_conn())
        return self._lifecycle

    def read(self, path: str, context: Any = None) -> ProjectFile:
        """Return the project file at ``path``; a relative one stands beside the DAG's file.

        :raises ProjectFileError: there is none, or it does not fit.
        """
        from airflow_ai_provider.services.lifecycle import read_project_file

        folder = dag_folder(context) if context is not None else None
        return read_project_file((folder or Path()) / path)

    def load(self, path: str, context: Any = None) -> Project:
        """Return the project of the file at ``path``."""
        return self.read(path, context).project

    def measure(self, path: str, milestone: str, context: Any = None) -> dict[str, Any]:
        """Return what a machine finds out for ``milestone``, by deliverable."""
        from airflow.sdk.configuration import conf

        from airflow_ai_provider.services.discovery import measure

        return measure(
            self.read(path, context).project,
            milestone,
            static_devices=conf.get("ai_provider", "static_devices", fallback="") or "",
            store=self.get_conn().store.url.get_backend_name(),
            address=self._address,
        )

    def complete_milestone(
        self,
        context: Any,
        path: str,
        milestone: str,
        *,
        measured: Mapping[str, Any] | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> MilestoneResult:
        """Complete ``milestone`` with ``answers`` as the form operator returned them.

        :raises MilestoneIncompleteError: a deliverable is not there.
        """
        form = dict(answers or {})
        user = form.get("responded_by_user") or {}
        return self.get_conn().complete_milestone(
            self.read(path, context),
            milestone,
            measured=measured,
            answers=form.get("answers", form.get("params_input", form)),
            answered_by=user.get("id") if isinstance(user, Mapping) else None,
            caller=_caller(context),
        )

    def judge_phase(
        self, context: Any, path: str, phase: str, evidence: Mapping[str, Any] | None = None
    ) -> PhaseResult:
        """Decide whether the project may leave ``phase``."""
        return self.get_conn().judge_phase(
            self.read(path, context),
            phase,
            evidence=evidence,
            code_folder=dag_folder(context),
            registry=self._registry() if phase == "pilot" else None,
            caller=_caller(context),
        )

    def view(
        self,
        name: str,
        *,
        kpis: Mapping[str, Any] | None = None,
        fired: Mapping[str, str] | None = None,
        spent: Mapping[str, str] | None = None,
        readers: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return everything that each of ``readers`` may see of project ``name``, JSON-safe.

        ``readers`` are named as in ``visible_to`` of a project file; those whom the project names,
        unless said. KPIs that a query tells are asked for now; ``kpis`` goes before what they say.

        :raises LifecycleError: the store never saw it, or a reader may not see it.
        """
        from datetime import datetime, timezone

        from airflow_ai_provider.services.kpi_values import query_values
        from airflow_ai_provider.services.project_view import Given, project
        from airflow_ai_provider.services.seeing import sight_for_readers

        life, now = self.get_conn(), datetime.now(timezone.utc)
        sight = sight_for_readers(life.store, name, readers)
        row = life.projects.get(name)
        plan = row.plan if row else {}
        asked = query_values(plan.get("kpis") or (), life.store, address=self._address)
        told = {
            v.name: [{"at": now.isoformat(), "value": v.value, "met": v.met, "of": "a query"}]
            for v in asked
            if v.value is not None
        }
        given = Given(
            kpis={**told, **(kpis or {})},
            problems={v.name: v.problem for v in asked if v.problem},
            fired=fired,
            spent=spent or {},
        )
        return project(life.store, name, today=now.date(), given=given, sight=sight)

    def override(
        self, context: Any, path: str, refusal: str, *, by: str, reason: str
    ) -> GateRecord:
        """Let a phase pass against the gate record ``refusal``; see ``services.overriding``.

        ``by`` must come from Airflow, which knows who answered a form.
        """
        from airflow_ai_provider.hooks.store import origin_of
        from airflow_ai_provider.services.overriding import override_refusal

        return override_refusal(
            self.get_conn().ledger,
            self.read(path, context),
            refusal,
            by=by,
            reason=reason,
            origin=origin_of(context),
        )

    def retire(
        self,
        context: Any,
        path: str,
        model_name: str,
        *,
        by: str,
        reason: str,
        archive: str | None = None,
    ) -> Retired:
        """Take a model out of every environment, after archiving it; see ``services.retiring``."""
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.hooks.store import origin_of
        from airflow_ai_provider.services.retiring import retire_model

        hook = ModelRegistryHook(self.mlflow_conn_id)
        return retire_model(
            self.read(path, context),
            model_name,
            by=by,
            reason=reason,
            store=self.get_conn().store,
            registry=hook.get_conn(),
            files=hook.get_files() if archive else None,
            archive=Path(archive) if archive else None,
            origin=origin_of(context),
        )

    def hand_over(self, context: Any, path: str, *, by: str, reason: str) -> GateRecord:
        """Let operations take the project over; see ``services.retiring``."""
        from airflow_ai_provider.hooks.store import origin_of
        from airflow_ai_provider.services.retiring import hand_over

        return hand_over(
            self.read(path, context),
            by=by,
            reason=reason,
            store=self.get_conn().store,
            origin=origin_of(context),
        )

    def kpi_values(self, path: str, context: Any = None) -> list[KpiValue]:
        """Return the project's KPIs as they stand; a query's ``conn_id`` is Airflow's."""
        from airflow_ai_provider.services.kpi_values import kpi_values

        return kpi_values(
            self.load(path, context),
            self.get_conn().store,
            address=self._address,
        )

    def _address(self, conn_id: str) -> str:
        """Return the database URL behind a connection, password included.

        :raises LifecycleError: there is no such connection.
        """
        from airflow_ai_provider.core.errors import LifecycleError
        from airflow_ai_provider.hooks.quality import database_url

        try:
            return database_url(self.get_connection(conn_id))
        except AirflowNotFoundException as error:
            raise LifecycleError(f"there is no connection {conn_id}", remedy="Make it.") from error

    def _registry(self) -> ModelRegistry | None:
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook

        try:
            return ModelRegistryHook(self.mlflow_conn_id).get_conn()
        except AirflowNotFoundException:
            return None  # the gate then fails: it could not look


def dag_folder(context: Any) -> Path | None:
    """Return the folder of the DAG's file; None when the context tells of none."""
    location = getattr(context.get("dag"), "fileloc", None)
    return Path(os.fspath(location)).parent if location else None


def _caller(context: Any) -> Caller:
    from airflow_ai_provider.hooks.store import decision_key, origin_of
    from airflow_ai_provider.services.lifecycle import Caller

    return Caller(
        decided_by=type(context["ti"].task).__name__,
        origin=origin_of(context),
        key=lambda draft: decision_key(context, draft),
    )
