"""Discovery's milestones and the gates between a project's phases, as tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_ai_provider.assets import phase_alias, project_asset
from airflow_ai_provider.core.errors import AirflowAiError, StoreUnavailableError

if TYPE_CHECKING:
    from airflow_ai_provider.services.lifecycle import PhaseResult


class MilestoneOperator(BaseOperator):
    """Complete a milestone of discovery when its deliverables are there.

    Keeps them with a gate record, and returns ``{"project", "milestone", "deliverables": [names],
    "answered_by", "record"}``. A missing deliverable fails the task without a retry.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param milestone: the milestone's name, such as ``kick_off``.
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
        measured: Mapping[str, Any] | None = None,
        answers: Mapping[str, Any] | None = None,
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


class PhaseGateOperator(BaseOperator):
    """Decide whether a project may leave a phase; on a pass emit ``ai-project://NAME/PHASE``.

    The event goes through ``phase_alias(NAME)``; its extra is ``{"project", "phase", "admitted":
    [model names], "record"}``. Returns ``{"project", "phase", "verdict", "passed", "admitted",
    "refused": {name: [criteria]}, "criteria": [...], "record", "pilot_records"}``, which is pushed
    and in the ledger before a refusal is raised.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param phase: ``discovery``, ``pilot`` or ``production``.
    :param evidence: for ``pilot`` ``{"pilots": [results of ModelGateOperator], "approval": result
        of PromotionApprovalOperator}``; for ``production`` ``{"models": [names about to go live],
        "feedback": {name: records stored}}``.
    :param on_fail: ``fail``, or ``skip`` what follows.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("project", "phase", "evidence", "on_fail")
    ui_color = "#f6e3c5"

    def __init__(
        self,
        *,
        project: str,
        phase: str,
        evidence: Mapping[str, Any] | None = None,
        on_fail: str = "fail",
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.phase = phase
        self.evidence = evidence
        self.on_fail = on_fail
        self.store_conn_id = store_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        from airflow_ai_provider.hooks.lifecycle import ProjectHook

        if self.on_fail not in {"fail", "skip"}:
            raise AirflowFailException(f"on_fail is fail or skip, not {self.on_fail!r}.")
        try:
            result = ProjectHook(self.store_conn_id).judge_phase(
                context, self.project, self.phase, self.evidence
            )
        except StoreUnavailableError:
            raise
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        for criterion in result.decision.criteria:
            self.log.info(
                "%s: %s (%s)", criterion.name, criterion.verdict.value, criterion.sentence
            )
        report = result.report()
        if result.passed:
            self._emit(context, result)
            return report
        context["ti"].xcom_push(key="return_value", value=report)
        refusal = result.error()
        if self.on_fail == "skip":
            raise AirflowSkipException(str(refusal)) from refusal
        raise AirflowFailException(str(refusal)) from refusal

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
