"""What the gates on data do alike once somebody has looked: record, tell, announce, conclude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.assets import data_alias, data_asset
from airflow_ai_provider.core.errors import DatabaseLostError, QualityError, StorageLostError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.operators._gate import GateOutcome
from airflow_ai_provider.operators._seen import GateSeen

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.gate import GateDraft, GateRecord
    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.core.quality.result import QualityResult
    from airflow_ai_provider.hooks.quality import DataQualityHook

Result = TypeVar("Result", "QualityResult", "DriftResult")


class DataGate(GateOutcome, GateSeen, Generic[Result]):
    """Beside the operator of a gate on data; the operator says how it is recorded and told."""

    if TYPE_CHECKING:  # what the operator beside this class has
        outlets: list[Any]
        conn_id: str | None
        schema: str | None
        dataset: str | None
        partition: str | None

        def _record(
            self, result: Result, verdict: Verdict, hook: Any, context: Context
        ) -> dict[str, Any]: ...

        def _say(self, result: Result, report: Mapping[str, Any]) -> None: ...

    def promise(self, dataset: Any) -> None:
        """Make the asset of ``dataset`` an outlet, where its name is known before the task runs."""
        if isinstance(dataset, str) and "{{" not in dataset:
            alias = data_alias(dataset)
            if alias not in self.outlets:
                self.outlets = [*self.outlets, alias]

    def in_database(self, hook: DataQualityHook, table: str | None, sql: str | None) -> Any:
        """Return the table or the query behind ``conn_id``."""
        if self.conn_id is None:
            raise AirflowFailException("conn_id names no connection for the table or the query.")
        return hook.source(self.conn_id, table=table, schema=self.schema, query=sql)

    def decided(
        self, result: Result, hook: DataQualityHook, context: Context, *, announce: bool = True
    ) -> dict[str, Any]:
        """Record and tell what was seen; end the task as ``on_fail`` says, else return the report.

        What passes is announced: the event of the data set's asset carries the report.
        """
        verdict = self.weighed(result.verdict)
        report = self._record(result, verdict, hook, context)
        self._say(result, report)
        if verdict.lets_pass and announce:
            self._announce(report, context)
        refusal = None if verdict.lets_pass else result.error(record=report["record"])
        return self.conclude(context, report, refusal)

    def kept(self, draft: GateDraft, page: Any, hook: Any, context: Context) -> GateRecord:
        """Write the gate record and the page that tells of it."""
        from dataclasses import replace

        from airflow_ai_provider.hooks.store import origin_of

        record: GateRecord = hook.record(
            replace(draft, origin=origin_of(context)), context=context, page=page
        )
        return record

    def _announce(self, report: Mapping[str, Any], context: Context) -> None:
        if not self.dataset:
            return
        alias = data_alias(self.dataset)
        if alias in self.outlets:
            asset = data_asset(self.dataset, self.partition or "all")
            context["outlet_events"][alias].add(asset, extra=dict(report))


@contextmanager
def looking() -> Iterator[None]:
    """Fail the task for good where a look cannot succeed; let Airflow's retries help elsewhere."""
    try:
        yield
    except (DatabaseLostError, StorageLostError):  # trying again may help
        raise
    except QualityError as error:  # neither the data nor what is asked of it gets better by it
        raise AirflowFailException(str(error)) from error
