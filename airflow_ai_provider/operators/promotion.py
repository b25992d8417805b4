"""Operators of promotion: judge a candidate, ask for approval; the moves are beside this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import (
    AirflowAiError,
    ApprovalError,
    PromotionError,
    RegistryUnavailableError,
)
from airflow_ai_provider.operators._gate import GateOutcome
from airflow_ai_provider.operators.promotion_copy import ModelCopyOperator
from airflow_ai_provider.operators.promotion_moves import (
    ModelPromoteOperator,
    ModelRollbackOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.promotion.approval import ApprovalRequest

__all__ = [
    "ModelCopyOperator",
    "ModelGateOperator",
    "ModelPromoteOperator",
    "ModelRollbackOperator",
    "PromotionApprovalOperator",
]

_STORE = "ai_store_default"
_REGISTRY = "mlflow_default"


class ModelGateOperator(BaseOperator, GateOutcome):
    """Judge a candidate by criteria on its evidence, and put the verdict on record.

    The evidence is kept in the store, once under its hash (``store.evidence``).

    Returns ``{"verdict", "passed", "model_name", "version", "candidate", "evidence_hash", "record",
    "criteria": [{"name", "limit", "observed", "verdict", "sentence"}], "metrics", "evidence"}``,
    pushed before anything is raised.

    :param evidence: the dict that training made; ``core.promotion.evidence`` gives its shape.
    :param criteria: a list of dicts (``core.promotion.criteria``), or the path of a YAML file.
    :param on_fail: ``fail`` the task; ``skip`` it and so what follows; ``branch`` into
        ``branch_task_ids``, which are skipped on a pass; or ``warn`` and go on.
    :param branch_task_ids: the tasks directly downstream that follow a refusal.
    :param project: the project that the record names, and whose live models count.
    :param predictions: the prediction log (path, glob or folder) for a criterion ``shadow``.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry, which is asked whether the champion that
        the candidate was compared with is still the live one.
    """

    template_fields: Sequence[str] = (
        "evidence",
        "criteria",
        "on_fail",
        "branch_task_ids",
        "project",
        "predictions",
        "store_conn_id",
        "mlflow_conn_id",
    )
    template_fields_renderers = {"evidence": "json", "criteria": "json"}
    inherits_from_skipmixin = True
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        evidence: Any,
        criteria: Any,
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        project: str | None = None,
        predictions: str | None = None,
        store_conn_id: str = _STORE,
        mlflow_conn_id: str = _REGISTRY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evidence = evidence
        self.criteria = criteria
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids
        self.project = project
        self.predictions = predictions
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, record, and let pass or refuse."""
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key, origin_of
        from airflow_ai_provider.services.promotion import StoreLife, judge
        from airflow_ai_provider.store.evidence import Evidences

        self.check_on_fail()
        store_hook, registry = (
            AiStoreHook(self.store_conn_id),
            ModelRegistryHook(self.mlflow_conn_id),
        )
        ledger = store_hook.ledger
        life = StoreLife(
            store_hook.get_conn(), registry=registry.get_conn, predictions=self.predictions
        )
        try:
            judgement = judge(
                self.evidence,
                self.criteria,
                ledger=ledger,
                decided_by=type(self).__name__,
                origin=origin_of(context),
                project=self.project,
                registry=registry.get_conn,
                life=life,
            )
        except RegistryUnavailableError:
            raise  # Airflow tries again
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error
        Evidences(store_hook.get_conn()).keep(judgement.evidence.content)
        record = ledger.append(judgement.draft, key=decision_key(context, judgement.draft))
        result = judgement.result(record)
        for criterion in judgement.criteria:
            self.log.info("%s: %s %s", criterion.name, criterion.verdict.value, criterion.sentence)
        self.log.info("Gate record %s: %s", record.id, record.verdict)
        return self.conclude(context, result, judgement.refusal(record))


class PromotionApprovalOperator(ApprovalOperator):
    """Ask named people for approval, bound to the hash of the evidence that they were shown.

    The form shows the criteria as a table and takes a comment. What is approved is what was shown:
    evidence that changed while the form was open voids the answer. Who submitted may not approve,
    an answer without a responder is none, and there is never a default.

    Returns Airflow's result (``chosen_options``, ``params_input``, ``responded_at``,
    ``responded_by_user``) with ``record``, ``evidence_hash`` and ``approved``; the last three and
    ``decided_by`` are also pushed as XCom ``approval``, on a refusal too.

    :param evidence: the result of a model gate, or any dict.
    :param assigned_users: names of the users who may answer.
    :param submitter: who may not. Unless said it is the user who triggered the run; of a run that
        nobody triggered, but an asset or the clock, the owner in ``project_file``. Where nobody is
        known to have submitted it, nobody is asked: who answered might have.
    :param project: the project that the record names.
    :param project_file: the project file whose owner submits what no user triggered.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (
        *ApprovalOperator.template_fields,
        "evidence",
        "assigned_users",
        "submitter",
        "project",
        "project_file",
        "store_conn_id",
    )
    template_fields_renderers = {"evidence": "json", "body": "md"}

    def __init__(
        self,
        *,
        evidence: Any,
        assigned_users: Any,
        submitter: str | None = None,
        project: str | None = None,
        project_file: str | None = None,
        params: Mapping[str, Any] | None = None,
        store_conn_id: str = _STORE,
        **kwargs: Any,
    ) -> None:
        super().__init__(assigned_users=assigned_users, params=_form(params or {}), **kwargs)
        self.evidence = evidence
        self.submitter = submitter
        self.project = project
        self.project_file = project_file
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> Any:
        """Show the evidence and park until somebody answers."""
        request = self._request(context)
        self.assigned_users = [{"id": name, "name": name} for name in request.may_answer]
        self.body = request.body(self.body)
        context["ti"].xcom_push(key="asked", value=request.fingerprint)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Check the answer against what was asked, record it, and go on or not."""
        if "error" in event:
            return super().execute_complete(context, event)
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key, origin_of

        request = self._request(context)
        ti = context["ti"]
        asked = ti.xcom_pull(task_ids=ti.task_id, key="asked", map_indexes=ti.map_index)
        self.validate_chosen_options(event["chosen_options"])
        self.validate_params_input(event["params_input"] or {})
        try:
            draft = request.answered(
                event, asked=asked, yes=self.APPROVE, origin=origin_of(context)
            )
        except ApprovalError as error:
            raise AirflowFailException(str(error)) from error
        record = AiStoreHook(self.store_conn_id).ledger.append(
            draft, key=decision_key(context, draft)
        )
        told = {
            "record": record.id,
            "evidence_hash": request.evidence_hash,
            "approved": draft.verdict.lets_pass,
            "decided_by": draft.decided_by,
        }
        self.log.info("Gate record %s: %s by %s", record.id, record.verdict, record.decided_by)
        ti.xcom_push(key="approval", value=told)
        return {**super().execute_complete(context, event), **told}

    def _request(self, context: Context) -> ApprovalRequest:
        from airflow_ai_provider.core.promotion.approval import approval_request

        if self.defaults:
            raise AirflowFailException("An approval has no default answer: leave out `defaults`.")
        ti = context["ti"]
        try:
            return approval_request(
                self.evidence,
                assigned_users=self.assigned_users,
                submitter=self._submitter(context),
                project=self.project,
                otherwise=f"airflow://{ti.dag_id}/{ti.task_id}",
            )
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error

    def _submitter(self, context: Context) -> str:
        """Return who submitted what is to be approved.

        :raises ApprovalError: nobody knows.
        """
        from airflow_ai_provider.services.project_file import load_project

        who = self.submitter or getattr(context["dag_run"], "triggering_user_name", None)
        if not who and self.project_file:
            who = load_project(self.project_file).owner
        if not who:
            raise ApprovalError(
                "No user triggered this run, so nobody knows who submitted what is to be approved.",
                remedy="Name the submitter, or a project_file whose owner it is.",
            )
        return str(who)


def _form(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's fields; Airflow hands over Param objects whose values hide them."""
    comment = Param(None, type=["null", "string"], title="Comment", source="task")
    if isinstance(params, ParamsDict):
        return {"comment": comment, **{name: params.get_param(name) for name in params}}
    return {"comment": comment, **params}
