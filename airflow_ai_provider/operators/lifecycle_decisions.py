"""Decisions that only a named role takes, in Airflow's own form.

An override of a phase gate, a model's end, and the project's hand over to operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.operators._role_decision import RoleDecision

if TYPE_CHECKING:
    from airflow_ai_provider.hooks.lifecycle import ProjectHook
    from airflow_ai_provider.services.lifecycle import ProjectFile


class PhaseOverrideOperator(RoleDecision):
    """Ask the project's override role whether a phase may pass against its gate, and why.

    Only who fills the role that the project file names as ``override_role`` may answer. A yes with
    a reason becomes a record of kind ``override``; the criteria that were refused then let pass
    while the project file stays as it is. Put a second ``PhaseGateOperator`` behind: it decides
    again, and its record says ``override``. A no skips what follows.

    Returns ``{"record", "criteria", "by"}``.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param refusal: the result of the ``PhaseGateOperator`` that refused (``on_fail="branch"`` or
        ``"warn"``), or the id of its record.
    :param store_conn_id: the connection of the store.
    """

    YES = "Override"
    NO = "Stand by the refusal"

    template_fields: Sequence[str] = (*RoleDecision.template_fields, "refusal")

    def __init__(self, *, refusal: Any, **kwargs: Any) -> None:
        kwargs.setdefault("subject", "May this phase pass against its gate?")
        super().__init__(**kwargs)
        self.refusal = refusal

    def roles(self, file: ProjectFile) -> Sequence[str]:
        """Return the one role that may."""
        return (file.project.override_role,)

    def asks(self, file: ProjectFile) -> str:
        """Return what was refused and why."""
        from airflow_ai_provider.core.lifecycle.shown import plain_text

        lines = [f"The gate of **{plain_text(file.project.name)}** refused:"]
        if isinstance(self.refusal, Mapping):
            lines += [
                f"- **{plain_text(str(c['name']))}**: {plain_text(str(c['sentence']))}"
                for c in self.refusal.get("criteria", ())
                if c.get("verdict") == "fail"
            ]
        return "\n".join([*lines, "", f"Record {plain_text(self._record())}."])

    def act(self, context: Any, hook: ProjectHook, by: str, reason: str) -> Any:
        """Write the override."""
        record = hook.override(context, self.project, self._record(), by=by, reason=reason)
        return {"record": record.id, "criteria": record.evidence["criteria"], "by": by}

    def _record(self) -> str:
        found = self.refusal.get("record") if isinstance(self.refusal, Mapping) else self.refusal
        return str(found)


class ModelRetireOperator(RoleDecision):
    """Ask operations whether a model retires, and why; then archive it and take it away.

    Who fills ``operations``, or the project's override role, may answer. After a yes with a reason
    the files of each version that is in an environment go to ``archive``, the environments' aliases
    are taken away (production's first), and the ledger says so. The versions stay in the registry.
    The model then no longer counts against ``live_model_limit``. A no skips what follows.

    Returns ``{"model_name", "versions": {environment: version}, "archive": {version: digest},
    "records"}``.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param model_name: the model, one of the project's use cases.
    :param archive: a folder on the worker; without it nothing is archived.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry.
    """

    YES = "Retire"
    NO = "Keep"

    template_fields: Sequence[str] = (*RoleDecision.template_fields, "model_name", "archive")

    def __init__(self, *, model_name: str, archive: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("subject", "Does this model retire?")
        super().__init__(**kwargs)
        self.model_name = model_name
        self.archive = archive

    def roles(self, file: ProjectFile) -> Sequence[str]:
        """Return operations and the override role."""
        return ("operations", file.project.override_role)

    def asks(self, file: ProjectFile) -> str:
        """Return what would happen."""
        from airflow_ai_provider.core.lifecycle.shown import plain_text

        name = plain_text(self.model_name)
        return (
            f"**{name}** of **{plain_text(file.project.name)}** leaves every environment. "
            f"{'Its files are archived before.' if self.archive else 'Nothing is archived.'}"
        )

    def act(self, context: Any, hook: ProjectHook, by: str, reason: str) -> Any:
        """Archive and take away."""
        retired = hook.retire(
            context, self.project, self.model_name, by=by, reason=reason, archive=self.archive
        )
        self.log.info("Retired %s: %s", retired.model_name, retired.versions)
        return {
            "model_name": retired.model_name,
            "versions": dict(retired.versions),
            "archive": dict(retired.archive),
            "records": [record.id for record in retired.records],
        }


class ProjectHandOverOperator(RoleDecision):
    """Ask operations to take the project over, and put it into maintenance.

    Only who fills ``operations`` may answer, and reads which versions run and what could go wrong.
    After a yes with a reason the
    project is in the phase ``maintenance``, the ledger says which versions were handed over, and
    the asset ``ai-project://NAME/maintenance`` tells other DAGs. A no skips what follows. A project
    that is not in production yet is refused before anybody is asked.

    Returns ``{"project", "record", "models": {name: version}, "by"}``.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param store_conn_id: the connection of the store.
    """

    YES = "Take over"
    NO = "Not yet"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("subject", "Does operations take this project over?")
        super().__init__(**kwargs)

    def roles(self, file: ProjectFile) -> Sequence[str]:
        """Return operations."""
        return ("operations",)

    def asks(self, file: ProjectFile) -> str:
        """Return what would be handed over."""
        from airflow_ai_provider.core.lifecycle.shown import plain_text
        from airflow_ai_provider.services.retiring import handed_over, in_production

        project, store = file.project, self._hook().get_conn().store
        in_production(project.name, store)
        lines = [f"Operations takes **{plain_text(project.name)}** over, with its models:"]
        models = handed_over(file, store)
        lines += [f"- **{plain_text(n)}**, version {plain_text(v)}" for n, v in models.items()]
        lines += [] if models else ["- none is in production"]
        if project.risks:
            lines += ["", "What could go wrong:"]
            lines += [
                f"- **{plain_text(risk.name)}**: {plain_text(risk.mitigation)}"
                for risk in project.risks
            ]
        return "\n".join(lines)

    def act(self, context: Any, hook: ProjectHook, by: str, reason: str) -> Any:
        """Put the project into maintenance and tell who waits for it."""
        from airflow_ai_provider.assets import phase_alias, project_asset

        record = hook.hand_over(context, self.project, by=by, reason=reason)
        name = hook.load(self.project, context).name
        result = {
            "project": name,
            "record": record.id,
            "models": dict(record.evidence.get("models") or {}),
            "by": by,
        }
        alias = phase_alias(name)
        if alias not in self.outlets:  # the name is known only now
            self.outlets = [*self.outlets, alias]
        context["outlet_events"][alias].add(project_asset(name, "maintenance"), extra=result)
        return result
