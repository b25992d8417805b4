"""The drift gate as an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.operators._data_gate import DataGate, looking
from airflow_ai_provider.operators._seen import LINKS, Seen

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.hooks.quality import DataQualityHook


class DriftGateOperator(BaseOperator, DataGate["DriftResult"]):
    """Let data pass only when it is like its reference, column by column, and record the decision.

    The reference is a profile (``airflow-ai quality profile``), so that its data need not be kept,
    or data; between files the figures are exact, against a profile or of a table Kolmogorov-Smirnov
    and Wasserstein carry an error. The report is pushed and the gate record written before anything
    is raised.

    Returns ``{"success", "verdict", "dataset", "partition", "data": {"path", "size", "digest",
    "rows"}, "reference": {"path", "digest", "rows", "profile", "made_from"}, "compared", "drifted",
    "failed": [{"column", "measure", "severity", "limit", "value", "error"?}], "record"}``, under
    8 KiB. A column that is gone, or holds another kind of values now, fails as critical.

    When the gate lets pass, an event on ``data_asset(dataset, partition)`` with the report as extra
    goes through ``data_alias(dataset)``, as with ``DataQualityGateOperator``; where that one stands
    beside this one and announces the same partition, say ``announce=False`` here.

    :param data: path or address of Parquet, CSV or JSON (Lines): a file, a glob or a folder.
    :param reference: the same of the reference's data, or of its profile.
    :param conn_id: instead of ``data``, a connection to any SQL database, with ``table`` (and its
        ``schema``) or a query as ``sql``; it is counted there, and nothing but counts is pulled.
    :param reference_table: instead of ``reference``, a table behind the same connection.
    :param reference_sql: instead of ``reference``, a query there: last month's rows, say.
    :param columns: which columns (all of the reference unless said): names, or a mapping from a
        name to ``{"methods", "thresholds", "kind"}`` of its own; ``kind`` is ``number``, ``time``
        or ``category``.
    :param methods: ``psi``, ``ks``, ``jensen_shannon``, ``wasserstein``, ``wasserstein_scaled``,
        ``chi_squared``, ``missing_rate``, ``new_category``: each on the columns it suits. Unless
        said: psi, ks and missing_rate of numbers; psi, jensen_shannon, new_category and
        missing_rate of categories; of times and of names that hardly repeat only missing_rate.
    :param thresholds: from a measure (a method, ``ks_p_value``, ``chi_squared_p_value``) to the
        critical limit, or to limits by severity: ``{"psi": {"warning": 0.1, "critical": 0.25}}``.
    :param fail_on: the severity from which a passed limit refuses the data.
    :param on_fail: ``fail`` the task without retry, ``skip`` what is downstream, ``branch`` to
        ``branch_task_ids`` (which are skipped when the data passes), or ``warn`` and go on.
    :param dataset: the data set's name; the gate record's subject is ``ai-data://DATASET/PARTITION``.
    :param partition: which part of the data set this is.
    :param announce: whether a pass is an event on the data set's asset.
    :param report_values: whether the page behind the link *Quality report* may show categories.
    """

    template_fields: Sequence[str] = (
        "data",
        "reference",
        "conn_id",
        "table",
        "schema",
        "sql",
        "reference_table",
        "reference_sql",
        "columns",
        "methods",
        "thresholds",
        "fail_on",
        "dataset",
        "partition",
        "project",
        "branch_task_ids",
    )
    template_fields_renderers = {
        "columns": "json",
        "thresholds": "json",
        "sql": "sql",
        "reference_sql": "sql",
    }
    ui_color = "#d5e8d4"
    inherits_from_skipmixin = True
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        data: str | None = None,
        reference: str | None = None,
        conn_id: str | None = None,
        table: str | None = None,
        schema: str | None = None,
        sql: str | None = None,
        reference_table: str | None = None,
        reference_sql: str | None = None,
        columns: Sequence[str] | Mapping[str, Any] | None = None,
        methods: Sequence[str] | None = None,
        thresholds: Mapping[str, Any] | None = None,
        fail_on: str = "critical",
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        dataset: str | None = None,
        partition: str | None = None,
        project: str | None = None,
        announce: bool = True,
        report_values: bool = True,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.reference = reference
        self.conn_id = conn_id
        self.table = table
        self.schema = schema
        self.sql = sql
        self.reference_table = reference_table
        self.reference_sql = reference_sql
        self.columns = columns
        self.methods = methods
        self.thresholds = thresholds
        self.fail_on = fail_on
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids
        self.dataset = dataset
        self.partition = partition
        self.project = project
        self.announce = announce
        self.report_values = report_values
        self.store_conn_id = store_conn_id
        if announce:
            self.promise(dataset)

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, record, decide."""
        from airflow_ai_provider.hooks.quality import DataQualityHook

        self.check_on_fail()
        self.begin(context)
        hook = DataQualityHook(self.store_conn_id)
        with looking():
            result = hook.compare(
                self._one_of(hook, "data", self.data, self.table, self.sql),
                self._one_of(
                    hook, "reference", self.reference, self.reference_table, self.reference_sql
                ),
                columns=self.columns,
                methods=self.methods,
                thresholds=self.thresholds,
                fail_on=self.fail_on,
                dataset=self.dataset,
                partition=self.partition,
                project=self.project,
            )
        return self.decided(result, hook, context, announce=self.announce)

    def _one_of(
        self, hook: DataQualityHook, what: str, path: str | None, table: str | None, sql: str | None
    ) -> Any:
        """Return what to compare: exactly one of files, a table and a query."""
        if sum(one is not None for one in (path, table, sql)) != 1:
            before = "" if what == "data" else "reference_"
            raise AirflowFailException(f"Give one of {what}, {before}table and {before}sql.")
        if path is not None:
            return path
        return self.in_database(hook, table, sql)

    def _record(
        self, result: DriftResult, verdict: Verdict, hook: Any, context: Context
    ) -> dict[str, Any]:
        from airflow_ai_provider.core.quality.lineage import of_drift
        from airflow_ai_provider.core.quality.page.build import drift_page

        page = drift_page(result, verdict=verdict, values=self.report_values)
        record = self.kept(result.draft(verdict=verdict), page, hook, context)
        self.tell(
            gate="drift",
            suite="",
            dataset=self.dataset or "",
            rows=result.data.rows,
            failed=[entry["severity"] for entry in result.failed()],
            seen=Seen.of(of_drift(result), record, verdict),
        )
        return {**result.compact(), "verdict": verdict.value, "record": record.id}

    def _say(self, result: DriftResult, report: Mapping[str, Any]) -> None:
        self.log.info(
            "%s: %s against %s %s, %s of %s columns drifted; record %s",
            result.subject,
            report["verdict"],
            "the profile" if result.reference.profile else "the data",
            result.reference.path,
            report["drifted"],
            report["compared"],
            report["record"],
        )
        for column in result.drifted:
            for sentence in column.sentences():
                self.log.warning("%s: %s", column.column, sentence)
        if result.schema.added:
            self.log.info("New columns, not compared: %s", ", ".join(result.schema.added))
