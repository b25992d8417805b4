"""Discovery's milestones and the gates between a project's phases, as tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLEntryOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.assets import phase_alias, project_asset
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    RegistryUnavailableError,
    StoreUnavailableError,
)
from airflow_ai_provider.operators._gate import GateOutcome

if TYPE_CHECKING:
    from airflow_ai_provider.core.lifecycle.milestones import Milestone
    from airflow_ai_provider.core.lifecycle.project import Project
    from airflow_ai_provider.services.lifecycle import PhaseResult, ProjectFile


class MilestoneOperator(BaseOperator):
    """Complete a milestone of discovery when its deliverables are there.

    Keeps them with a gate record, and returns ``{"project", "milestone", "deliverables": [names],
    "answered_by", "record"}``. A missing deliverable fails the task without a retry.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param milestone: the milestone's name, such as ``kick_off``, or a phase's retrospective, such
        as ``pilot_retrospective``.
    :param measured: what a machine found out, by deliverable.
    :param answers: what people answered: the form operator's result, or a dict by deliverable.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("project", "milestone", "measured", "answers")
    ui_color = "#dbe9f6"

    def __init__(
        self,
        *,
        project: str,
        milestone: str,
        measured: Any = None,
        answers: Any = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.milestone = milestone
        self.measured = measured
        self.answers = answers
        self.store_conn_id = store_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        from airflow_ai_provider.hooks.lifecycle import ProjectHook

        hook = ProjectHook(self.store_conn_id)
        try:
            result = hook.complete_milestone(
                context,
                self.project,
                self.milestone,
                measured=self.measured,
                answers=self.answers,
            )
        except StoreUnavailableError:
            raise
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        for name in (*result.delivered.measured, *result.delivered.answered):
            self.log.info("Milestone %s: %s is delivered", self.milestone, name)
        return {
            "project": result.project,
            "milestone": result.milestone,
            "deliverables": sorted({*result.delivered.measured, *result.delivered.answered}),
            "answered_by": result.answered_by,
            "record": result.record.id,
        }


class MilestoneFormOperator(HITLEntryOperator):
    """Ask the person who fills a milestone's role, in Airflow's own form.

    The form has one field for each deliverable that people answer, filled in with what the project
    file says; the body shows what was measured. Only the role's person may answer. A field that is
    left empty takes the file's answer; where the file has none the answers are refused, and asked
    for again while the task has ``retries``. Returns the form's result with ``milestone`` and
    ``answers``, texts by deliverable.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param milestone: the milestone's name; it decides the fields and so cannot be a template.
    :param measured: what a machine found out, to be shown.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (*HITLEntryOperator.template_fields, "project", "measured")
    ui_color = "#dcefdc"

    def __init__(
        self,
        *,
        project: str,
        milestone: str,
        measured: Any = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        from airflow_ai_provider.core.lifecycle.milestones import milestone as named

        definition = named(milestone)
        kwargs["params"] = form_fields(definition)  # the DAG's own params are no fields
        kwargs.setdefault("subject", definition.title)
        kwargs.setdefault("options", [self.OK])  # and no default: silence is no answer
        super().__init__(**kwargs)
        self.project = project
        self.milestone = milestone
        self.measured = measured
        self.store_conn_id = store_conn_id

    def execute(self, context: Any) -> Any:
        """Ask; what comes after the answer is in ``execute_complete``."""
        from airflow.sdk.definitions.param import ParamsDict

        from airflow_ai_provider.core.lifecycle.milestones import milestone
        from airflow_ai_provider.core.lifecycle.shown import shown_measurement

        definition = milestone(self.milestone)
        file = self._read(context)
        user = file.project.person(definition.role)
        if user is None:
            raise AirflowFailException(
                f"Nobody fills the role {definition.role} of {file.project.name}. "
                f"Name an Airflow user under people.{definition.role}."
            )
        self.assigned_users = self.assigned_users or [{"id": user, "name": user}]
        self.params = ParamsDict(form_fields(definition, file.project))
        self.body = "\n\n".join(
            part
            for part in (
                f"**{definition.title}** of **{file.project.name}**, for the {definition.role}.",
                shown_measurement(definition, self.measured),
                "A field left empty takes the answer of the project file.",
            )
            if part
        )
        context["ti"].xcom_push(key="project_file", value=file.digest)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Check the answers that a person gave."""
        from airflow_ai_provider.core.errors import MilestoneIncompleteError
        from airflow_ai_provider.core.lifecycle.delivered import assess
        from airflow_ai_provider.core.lifecycle.milestones import milestone

        result = super().execute_complete(context, event)
        if not (result.get("responded_by_user") or {}).get("id"):
            raise AirflowFailException("Nobody answered the form.")
        file, ti = self._read(context), context["ti"]
        shown = ti.xcom_pull(
            task_ids=ti.task_id, key="project_file", map_indexes=getattr(ti, "map_index", -1)
        )
        if shown != file.digest:
            raise MilestoneIncompleteError(
                "The project file changed after the form was shown.", remedy="Answer it again."
            )
        definition = milestone(self.milestone)
        delivered = assess(definition, file.project, measured=None, answers=result["params_input"])
        unanswered = [m.deliverable for m in delivered.missing if m.kind.value == "p"]
        if unanswered:
            raise MilestoneIncompleteError(
                f"{definition.title}: {', '.join(unanswered)} got no answer, and the project file "
                "has none.",
                remedy="Answer it again.",
                missing=unanswered,
            )
        return {**result, "milestone": self.milestone, "answers": dict(delivered.answered)}

    def _read(self, context: Any) -> ProjectFile:
        from airflow_ai_provider.hooks.lifecycle import ProjectHook

        try:
            return ProjectHook(self.store_conn_id).read(self.project, context)
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error


def form_fields(definition: Milestone, project: Project | None = None) -> dict[str, Any]:
    """Return a form's fields; with ``project`` they are filled in with what its file says."""
    from airflow.sdk import Param

    from airflow_ai_provider.core.lifecycle.milestones import MAX_ANSWER, MIN_ANSWER

    return {
        deliverable.name: Param(
            deliverable.propose(project) if project else None,
            type=["null", "string"],
            format="multiline",
            minLength=MIN_ANSWER,
            maxLength=MAX_ANSWER,
            title=deliverable.title,
            description=deliverable.question,
            source="task",
        )
        for deliverable in definition.asked
    }


class PhaseGateOperator(BaseOperator, GateOutcome):
    """Decide whether a project may leave a phase; on a pass emit ``ai-project://NAME/PHASE``.

    The event goes through ``phase_alias(NAME)``; its extra is ``{"project", "phase", "admitted":
    [model names], "record"}``. Returns ``{"project", "phase", "verdict", "passed", "admitted",
    "refused": {name: [criteria]}, "criteria": [...], "record", "pilot_records"}``, which is pushed
    and in the ledger before a refusal is raised.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param phase: ``discovery``, ``pilot`` or ``production``.
    :param evidence: for ``pilot`` ``{"pilots": [results of ModelGateOperator], "approved": what
        the sponsor was shown, "approval": result of PromotionApprovalOperator}``, where the dict
        that was shown holds the same ``pilots``; for ``production`` ``{"models": [names about to go
        live]}``. Results count only as far as the ledger knows them.
    :param on_fail: ``fail`` the task; ``skip`` it and so what follows; ``branch`` into
        ``branch_task_ids``, which are skipped on a pass; or ``warn`` and go on. No event but on a
        pass.
    :param branch_task_ids: the tasks directly downstream that follow a refusal.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the model registry; the pilot phase's gate asks it for
        signature, card and digest of each pilot's version.
    """

    template_fields: Sequence[str] = (
        "project",
        "phase",
        "evidence",
        "on_fail",
        "branch_task_ids",
    )
    template_fields_renderers = {"evidence": "json"}
    inherits_from_skipmixin = True
    ui_color = "#f6e3c5"

    def __init__(
        self,
        *,
        project: str,
        phase: str,
        evidence: Any = None,
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        store_conn_id: str = "ai_store_default",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.phase = phase
        self.evidence = evidence
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        from airflow_ai_provider.hooks.lifecycle import ProjectHook

        self.check_on_fail()
        try:
            result = ProjectHook(self.store_conn_id, self.mlflow_conn_id).judge_phase(
                context, self.project, self.phase, self.evidence
            )
        except (RegistryUnavailableError, StoreUnavailableError):
            raise
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        for criterion in result.decision.criteria:
            self.log.info(
                "%s: %s (%s)", criterion.name, criterion.verdict.value, criterion.sentence
            )
        if result.passed:
            self._emit(context, result)
        return self.conclude(context, result.report(), None if result.passed else result.error())

    def _emit(self, context: Any, result: PhaseResult) -> None:
        alias = phase_alias(result.project)
        if alias not in self.outlets:  # the name is known only now
            self.outlets = [*self.outlets, alias]
        extra = {
            "project": result.project,
            "phase": result.phase,
            "admitted": list(result.decision.admitted),
            "record": result.record.id,
        }
        asset = project_asset(result.project, result.phase)
        context["outlet_events"][alias].add(asset, extra=extra)
