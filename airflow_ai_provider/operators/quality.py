"""The data gate as an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.operators._calling import named, rendered_by
from airflow_ai_provider.operators._data_gate import DataGate, looking
from airflow_ai_provider.operators._seen import LINKS, Seen

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.hooks.quality import DataQualityHook
    from airflow_ai_provider.services.quality import QualityResult


class DataQualityGateOperator(BaseOperator, DataGate["QualityResult"]):
    """Let data pass only when it meets its expectations, and record the decision.

    The suite is Great Expectations' own JSON. It is compiled to one DuckDB statement; what has no
    compiled form with the same meaning goes to Great Expectations on the same data. The report is
    pushed and the gate record written before anything is raised.

    Returns ``{"success", "verdict", "dataset", "partition", "data": {"path", "size", "digest",
    "rows"}, "suite", "engine", "evaluated", "score", "failed": [{"type", "column", "severity",
    "unexpected_count", "unexpected_percent", "observed_value"}], "quarantine": {"path", "rows"} or
    None, "record"}``, under 8 KiB. ``success`` is whether no expectation of ``fail_on`` or worse
    failed; ``verdict`` is what the gate record says.

    When the gate lets pass, an event on ``data_asset(dataset, partition)`` with the report as extra
    goes through ``data_alias(dataset)``. The alias is added to the outlets where ``dataset`` is a
    plain string; where it is templated or mapped, add it yourself.

    :param data: path or address of Parquet, CSV or JSON (Lines): a file, a glob or a folder.
    :param suite: path or address of the suite's JSON, or the same as a dict; a list of several; or
        a callable that returns one, which is given what it names of the task's context.
    :param conn_id: instead of ``data``, a connection to any SQL database, with ``table`` (and its
        ``schema``) or a query as ``sql``; the data stays there.
    :param frame_callable: instead of ``data``, a function that returns a pandas, polars or Arrow
        frame at run time; it is given what it names of the task's context. ``@task.quality_gate``
        is the same as a decorator.
    :param dataset: the data set's name; the gate record's subject is ``ai-data://DATASET/PARTITION``.
    :param partition: which part of the data set this is.
    :param suite_parameters: values for the suite's ``{"$PARAMETER": "name"}``.
    :param engine: ``auto``, ``compiled`` or ``great_expectations``.
    :param fail_on: the severity from which a failed expectation refuses the data.
    :param allow_empty: let data without rows pass. Else the gate refuses them (nothing was looked
        at), unless an expectation on the number of rows says what is well.
    :param on_fail: ``fail`` the task without retry, ``skip`` what is downstream, ``branch`` to
        ``branch_task_ids`` (which are skipped when the data passes), or ``warn`` and go on.
    :param quarantine_path: where the failing rows go, as Parquet with ``failed_expectations``: a
        path, or an address of an object store (``s3://conn_id@bucket/key.parquet``).
    :param good_rows_path: where the other rows go.
    :param time_limit: seconds that a statement to a database, or all that is left to Great
        Expectations, may take (an hour unless said): a regular expression may run forever.
    :param report_values: whether the page behind the link *Quality report* may show values of rows:
        samples and pictures of what failed. Without, it shows counts.
    """

    template_fields: Sequence[str] = (
        "data",
        "suite",
        "conn_id",
        "table",
        "schema",
        "sql",
        "dataset",
        "partition",
        "suite_parameters",
        "engine",
        "fail_on",
        "on_fail",
        "branch_task_ids",
        "quarantine_path",
        "good_rows_path",
        "project",
        "time_limit",
        "store_conn_id",
    )
    template_fields_renderers = {"suite": "json", "suite_parameters": "json", "sql": "sql"}
    ui_color = "#d5e8d4"
    inherits_from_skipmixin = True
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        data: str | None = None,
        suite: Any,
        conn_id: str | None = None,
        table: str | None = None,
        schema: str | None = None,
        sql: str | None = None,
        frame_callable: Callable[..., Any] | None = None,
        dataset: str | None = None,
        partition: str | None = None,
        suite_parameters: Mapping[str, Any] | None = None,
        engine: str = "auto",
        fail_on: str = "critical",
        allow_empty: bool = False,
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        quarantine_path: str | None = None,
        good_rows_path: str | None = None,
        project: str | None = None,
        time_limit: float | str | None = None,
        report_values: bool = True,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.suite = suite
        self.conn_id = conn_id
        self.table = table
        self.schema = schema
        self.sql = sql
        self.frame_callable = frame_callable
        self.dataset = dataset
        self.partition = partition
        self.suite_parameters = suite_parameters
        self.engine = engine
        self.fail_on = fail_on
        self.allow_empty = allow_empty
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids
        self.quarantine_path = quarantine_path
        self.good_rows_path = good_rows_path
        self.project = project
        self.time_limit = time_limit
        self.report_values = report_values
        self.store_conn_id = store_conn_id
        self.promise(dataset)

    def execute(self, context: Context) -> dict[str, Any]:
        """Look, record, decide."""
        from airflow_ai_provider.hooks.quality import DataQualityHook

        self.check_on_fail()
        self.begin(context)
        hook = DataQualityHook(self.store_conn_id)
        with looking():
            result = hook.check(
                self._data(hook, context),
                self.suite,
                engine=self.engine,
                fail_on=self.fail_on,
                allow_empty=self.allow_empty,
                suite_parameters=self.suite_parameters,
                quarantine_path=self.quarantine_path,
                good_rows_path=self.good_rows_path,
                dataset=self.dataset,
                partition=self.partition,
                project=self.project,
                **self._limits(),
                pictures=True,
            )
        return self.decided(result, hook, context)

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Let the suite be a function that names what it wants; Airflow calls it with all."""
        if callable(self.suite):
            self.suite = rendered_by(self.suite)
        super()._do_render_template_fields(*args, **kwargs)

    def _limits(self) -> dict[str, float]:
        if self.time_limit is None:
            return {}
        try:
            return {"time_limit": float(self.time_limit)}
        except ValueError as error:
            raise AirflowFailException(
                f"time_limit is {self.time_limit!r}: no number of seconds."
            ) from error

    def _data(self, hook: DataQualityHook, context: Context) -> Any:
        """Return what to look at: exactly one of files, a table, a query and a frame."""
        from airflow_ai_provider.hooks._quality_data import described

        self._need_one()
        if self.data is not None:
            return self.data
        if self.frame_callable is not None:
            given = self.frame_callable(**named(self.frame_callable, context))
            return described(given, hook, said_by="frame_callable", conn_id=self.conn_id)
        return self.in_database(hook, self.table, self.sql)

    def _said(self) -> tuple[Any, ...]:
        """Return every argument that can say what to look at."""
        return (self.data, self.table, self.sql, self.frame_callable)

    def _need_one(self) -> None:
        if sum(one is not None for one in self._said()) != 1:
            raise AirflowFailException(
                "Give one of data, table, sql and frame_callable; to @task.quality_gate none of "
                "them: its function says what to look at."
            )

    def _record(
        self, result: QualityResult, verdict: Verdict, hook: Any, context: Context
    ) -> dict[str, Any]:
        from airflow_ai_provider.core.quality.lineage import of_quality
        from airflow_ai_provider.core.quality.page.build import quality_page

        page = quality_page(result, verdict=verdict, values=self.report_values)
        record = self.kept(result.draft(verdict=verdict), page, hook, context)
        self.tell(
            gate="data",
            suite=result.report.suite.name,
            dataset=self.dataset or "",
            rows=result.data.rows,
            failed=[
                *(["critical"] if result.saw_nothing else []),
                *(r.expectation.severity.value for r in result.report.failed),
            ],
            seen=Seen.of(of_quality(result), record, verdict),
        )
        return {**result.compact(), "verdict": verdict.value, "record": record.id}

    def _say(self, result: QualityResult, report: Mapping[str, Any]) -> None:
        self.log.info(
            "%s: %s by suite %s, %s of %s expectations met on %s rows (%s engine); record %s",
            result.subject,
            report["verdict"],
            report["suite"],
            report["evaluated"] - len(result.report.failed),
            report["evaluated"],
            report["data"]["rows"],
            report["engine"],
            report["record"],
        )
        for one in result.report.failed:
            severity = one.expectation.severity.value
            self.log.warning("%s %s: %s", severity, one.expectation.label, one.sentence())
        if report["quarantine"]:
            self.log.warning("Quarantined %(rows)s rows in %(path)s", report["quarantine"])
