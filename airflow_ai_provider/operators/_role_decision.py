"""What decisions of a named role have in common: the form, who may answer, what an answer needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLEntryOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_ai_provider.core.errors import (
    AirflowAiError,
    RegistryUnavailableError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from airflow_ai_provider.hooks.lifecycle import ProjectHook
    from airflow_ai_provider.services.lifecycle import ProjectFile

MIN_REASON = 20  # characters


class RoleDecision(HITLEntryOperator):
    """Ask who fills one of some roles for a yes with a reason, and act on it in their name."""

    YES = "Yes"
    NO = "No"

    template_fields: Sequence[str] = (*HITLEntryOperator.template_fields, "project")
    ui_color = "#f2d5cf"

    def __init__(
        self,
        *,
        project: str,
        store_conn_id: str = "ai_store_default",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        from airflow.sdk import Param

        kwargs["params"] = {
            "reason": Param(
                None,
                type=["null", "string"],
                format="multiline",
                maxLength=2000,
                title="Reason",
                description="Why; it stays in the ledger for ever.",
                source="task",
            )
        }
        kwargs.setdefault("subject", "A decision is needed")
        super().__init__(options=[self.YES, self.NO], **kwargs)  # no default: silence is no answer
        self.project = project
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def roles(self, file: ProjectFile) -> Sequence[str]:
        """Return the roles that may answer."""
        raise NotImplementedError

    def asks(self, file: ProjectFile) -> str:
        """Return what the person reads, in Markdown."""
        raise NotImplementedError

    def act(self, context: Any, hook: ProjectHook, by: str, reason: str) -> Any:
        """Do what was answered with yes."""
        raise NotImplementedError

    def execute(self, context: Any) -> Any:
        """Ask; what comes after the answer is in ``execute_complete``."""
        try:
            file = self._hook().read(self.project, context)
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        roles = self.roles(file)
        users = sorted({user for role in roles if (user := file.project.person(role))})
        if not users:
            raise AirflowFailException(
                f"Nobody fills {' or '.join(roles)} of {file.project.name}. "
                f"Name an Airflow user under people.{roles[0]}."
            )
        self.assigned_users = [{"id": user, "name": user} for user in users]
        try:
            self.body = self.asks(file)
        except StoreUnavailableError:
            raise  # Airflow tries again
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Act in the name of who answered yes; skip what follows after a no."""
        answer = super().execute_complete(context, event)
        by = (answer.get("responded_by_user") or {}).get("id")
        if not by:
            raise AirflowFailException("Nobody answered the form.")
        if self.YES not in (answer.get("chosen_options") or ()):
            raise AirflowSkipException(f"The answer was: {self.NO}.")
        reason = str((answer.get("params_input") or {}).get("reason") or "").strip()
        if len(reason) < MIN_REASON:
            raise AirflowFailException("The answer has no reason. Clear this task to ask again.")
        try:
            return self.act(context, self._hook(), by, reason)
        except (RegistryUnavailableError, StoreUnavailableError):
            raise  # Airflow tries again
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error

    def _hook(self) -> ProjectHook:
        from airflow_ai_provider.hooks.lifecycle import ProjectHook

        return ProjectHook(self.store_conn_id, self.mlflow_conn_id)
