"""Wait for feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.sensors._deferrable import DeferrableSensor

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context, PokeReturnValue

    from airflow_ai_provider.core.feedback.watching import Wanted
    from airflow_ai_provider.services.feedback_watch import FeedbackWatch, TaskPlace
    from airflow_ai_provider.store.engine import Store
    from airflow_ai_provider.triggers.feedback import FeedbackTrigger

_NUMBERS = {
    "min_records": int,
    "new_records": int,
    "score_below": float,
    "score_days": float,
    "min_scores": int,
    "queue_older_than": float,
}


class FeedbackSensor(DeferrableSensor):
    """Wait until any one of these holds for the feedback on a model.

    Returns how many effective records there are (one that was revised counts once); where only
    something else is waited for, what holds: a sentence by name. Feedback in Delta tables that the
    store knows counts too.

    :param model_name: the model.
    :param partition: count only records of this partition.
    :param min_records: how many records there must be; 1 when nothing else is waited for.
    :param new_records: so many records were stored or revised since this task last succeeded, in
        whichever run of its DAG; the first time, since it began to wait. A try that is repeated
        counts from where the one before it did.
    :param score_below: people's mean score (1 to 5) of ``score_days`` days is below this, with at
        least ``min_scores`` scores.
    :param queue_older_than: the oldest open exception has waited so many seconds.
    :param deferrable: wait in the triggerer, which costs no worker slot; all that wait on one store
        share one look per interval.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("model_name", "partition", *_NUMBERS, "store_conn_id")

    def __init__(
        self,
        *,
        model_name: str,
        partition: str | None = None,
        min_records: int | None = None,
        new_records: int | None = None,
        score_below: float | None = None,
        score_days: float = 30.0,
        min_scores: int = 10,
        queue_older_than: float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.partition = partition
        self.min_records = min_records
        self.new_records = new_records
        self._since: int | None = None  # the batch after which records are new
        self._watch: FeedbackWatch | None = None  # over the pokes of one try
        self.score_below = score_below
        self.score_days = score_days
        self.min_scores = min_scores
        self.queue_older_than = queue_older_than
        self.deferrable = deferrable
        self.store_conn_id = store_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        from airflow_ai_provider.services.feedback_watch import FeedbackWatch

        if self._watch is None:
            self._watch = FeedbackWatch(self._store())
        wanted = self._wanted()
        if wanted.new_records is not None and self._since is None:
            self._since = self._place(context).begin()
        seen = self._watch.look([wanted.ask(None)], after=self._since)
        why = wanted.holds(seen, {} if self._since is None else {"batch": self._since})
        if why and wanted.new_records is not None:
            self._place(context).succeeded(seen.last_batch)
        records = seen.records(self.model_name, self.partition)
        if why:
            self.log.info("%s: %s", self.model_name, " ".join(why.values()))
        elif wanted.min_records is not None:
            self.log.info(
                "%s has %s feedback records%s; %s are waited for",
                self.model_name,
                records,
                f" of {self.partition}" if self.partition is not None else "",
                wanted.min_records,
            )
        told = why if wanted.min_records is None else records
        return PokeReturnValue(is_done=bool(why), xcom_value=told)

    def make_trigger(self, not_before: datetime) -> FeedbackTrigger:
        """Return the trigger that waits on in the triggerer."""
        from airflow_ai_provider.triggers.feedback import FeedbackTrigger

        return FeedbackTrigger(
            model_name=self.model_name,
            partition=self.partition,
            **self._numbers(),
            since_batch=self._since,
            not_before=not_before,
            poll_interval=float(self.poke_interval),
            store_conn_id=self.store_conn_id,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return what the trigger saw."""
        if self.new_records is not None:
            self._place(context).succeeded(event["batch"])
        return event["records"] if event["records"] is not None else event["why"]

    def _store(self) -> Store:
        from airflow_ai_provider.hooks.store import AiStoreHook

        return AiStoreHook(self.store_conn_id).get_conn()

    def _place(self, context: Context) -> TaskPlace:
        from airflow_ai_provider.core.gate import digest
        from airflow_ai_provider.services.feedback_watch import TaskPlace

        ti = context["ti"]
        task = ["sensor", ti.dag_id, ti.task_id, getattr(ti, "map_index", -1), self.model_name]
        return TaskPlace(store=self._store(), key=digest(task), run=ti.run_id)

    def _wanted(self) -> Wanted:
        from airflow_ai_provider.core.errors import FeedbackError
        from airflow_ai_provider.core.feedback.watching import wanted_of

        try:
            return wanted_of(
                {"model_name": self.model_name, "partition": self.partition, **self._numbers()}
            )
        except FeedbackError as error:
            raise AirflowFailException(str(error)) from error

    def _numbers(self) -> dict[str, Any]:
        found = {}
        for name, kind in _NUMBERS.items():
            said = getattr(self, name)
            try:
                found[name] = None if said is None else kind(said)
            except (TypeError, ValueError) as error:
                raise AirflowFailException(f"{name} is {said!r}: no number.") from error
        return found
