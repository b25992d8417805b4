"""The sponsor's report on a project, as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from airflow_ai_provider.hooks.lifecycle import ProjectHook


class ProjectReportOperator(BaseOperator):
    """Write the report on a project: one self-contained HTML page, Markdown, or both, and send it.

    It says where the project stands, its KPIs against their targets, plan and forecast with the
    critical path, every gate and why, models, money and GPU hours against the budget, risks that
    fired, and what is to be decided next. Returns ``{"project", "phase", "progress", "p50", "p90",
    "planned_finish", "late": [names], "waiting_for": [users or roles], "html", "markdown",
    "text"}``; ``text`` is the Markdown, cut to 20,000 characters.

    :param project: the project's name, or the path of its file (``.yaml``, ``.yml``); a relative
        one stands beside the DAG's file.
    :param readers: whom the report is for, named as in ``visible_to`` of a project file: it holds
        nothing that one of them may not see. Those whom the project names, unless said; so what
        fewer people may see is left out.
    :param html: where the page is to be written.
    :param markdown: where the Markdown is to be written.
    :param notifiers: Airflow notifiers that send it; their templates see the result as ``report``,
        such as ``{{ report.text }}``. One that fails keeps no other from being sent, and then fails
        the task.
    :param kpi_values: values that the store does not have, by KPI: lists of ``{"at", "value"}``.
    :param risks_fired: what happened, a sentence by risk; None when nobody looked.
    :param money_spent: what was spent, with currency, by phase.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (
        "project",
        "readers",
        "html",
        "markdown",
        "kpi_values",
        "risks_fired",
        "money_spent",
    )
    ui_color = "#e3eef0"

    def __init__(
        self,
        *,
        project: str,
        readers: Sequence[str] | None = None,
        html: str | None = None,
        markdown: str | None = None,
        notifiers: Sequence[BaseNotifier] | BaseNotifier | None = None,
        kpi_values: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        risks_fired: Mapping[str, str] | None = None,
        money_spent: Mapping[str, str] | None = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.readers = readers
        self.html = html
        self.markdown = markdown
        self.notifiers = notifiers
        self.kpi_values = kpi_values
        self.risks_fired = risks_fired
        self.money_spent = money_spent
        self.store_conn_id = store_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        from airflow_ai_provider.core.errors import LifecycleError
        from airflow_ai_provider.hooks.lifecycle import ProjectHook
        from airflow_ai_provider.services.project_report import write_report

        hook = ProjectHook(self.store_conn_id)
        try:
            found = hook.view(
                self._name(hook, context),
                kpis=self.kpi_values,
                fired=self.risks_fired,
                spent=self.money_spent,
                readers=self.readers,
            )
            written = write_report(found, html=self.html, markdown=self.markdown)
        except LifecycleError as error:
            raise AirflowFailException(str(error)) from error
        result = _result(found, written)
        self._send({**context, "report": result})
        return result

    def _name(self, hook: ProjectHook, context: Any) -> str:
        is_file = self.project.endswith((".yaml", ".yml"))
        return hook.load(self.project, context).name if is_file else self.project

    def _send(self, context: dict[str, Any]) -> None:
        """Send to all; what failed first is raised when everybody else was told."""
        failed = [self._failure(notifier, dict(context)) for notifier in self._notifiers()]
        for error in failed:
            if error is not None:
                raise error

    def _failure(self, notifier: Any, context: dict[str, Any]) -> Exception | None:
        try:
            notifier(context)
        except Exception as error:  # the other notifiers are still to be called
            self.log.exception("%s did not send the report", type(notifier).__name__)
            return error
        return None

    def _notifiers(self) -> Sequence[Any]:
        given = self.notifiers
        return given if isinstance(given, Sequence) else [] if given is None else [given]


def _result(found: Mapping[str, Any], written: Any) -> dict[str, Any]:
    times = found["timeline"]
    return {
        "project": found["name"],
        "phase": found["phase"],
        "progress": found["progress"],
        **{key: times[key] for key in ("p50", "p90", "planned_finish")},
        "late": [entry["name"] for entry in times["late"]],
        "waiting_for": sorted({w["person"] or w["role"] for w in found["waiting_for"]}),
        "html": str(written.html) if written.html else None,
        "markdown": str(written.markdown) if written.markdown else None,
        "text": written.text[:20_000],
    }
