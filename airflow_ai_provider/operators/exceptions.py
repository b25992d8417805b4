"""The operator of the exception loop: find predictions that people must look at, and ask them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.assets import feedback_alias, feedback_asset
from airflow_ai_provider.core.errors import ExceptionReviewError, FeedbackRecordError
from airflow_ai_provider.operators._feedback import hopeless_fails

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.feedback.exceptions import Asking, Case
    from airflow_ai_provider.services.exceptions import ExceptionService, Search

_KEPT = timedelta(days=30)  # for an answer, where no response_timeout says


class ExceptionReviewOperator(HITLOperator):
    """Queue the predictions that people must look at, and ask for answers, which become feedback.

    A prediction is queued once, however often it is found, unless reality has answered it: when the
    model was unsure (``min_confidence``), somebody scored it low (``max_score``), or people
    contradict each other or the model (``disputed``). With ``ask`` the task claims up to ``batch``
    cases and asks by Airflow's human-in-the-loop, which keeps what was written into its form
    whatever the setting ``feedback_comments`` says; without it (the default) people claim and
    answer on the page *Exceptions* of *AI projects* or over the plugin's API
    (``/airflow-ai/exceptions``), or another task asks. Nobody else is shown a claimed case unless
    ``people`` is more than one, to measure agreement; then map the operator over the people. Where
    nobody answers in ``response_timeout`` the cases go back into the queue and the task fails as
    Airflow's own operators do.

    Returns ``{"model_name", "added", "known", "left_out", "asked", "answered", "returned",
    "refused", "batch"}``; an event on ``feedback_asset(model_name)`` goes out when anything was
    answered, through ``feedback_alias(model_name)``.

    :param model_name: the registered model.
    :param predictions: path, glob or folder of the Parquet prediction log; without it only what
        people said is looked at.
    :param partition: look only at this part of the data.
    :param min_confidence: queue what the model is less sure of than this (0.5 to 1).
    :param max_score: queue what somebody scored so, or lower.
    :param disputed: queue what is disputed; ``margin`` is how far a label may be from the score.
    :param show: columns of the log that the person sees.
    :param labels: the answers offered: a list, or shown names to labels.
    :param score: ask for an opinion from 1 to 5 instead of a label.
    :param people: how many people answer each case.
    :param assigned_users: the users who may answer, to whom cases are dealt in turn; else anybody.
    :param max_age: seconds after which an unanswered case expires.
    :param max_open: how many cases of the model may be open; the rest is left out.
    :param ask: ask in this task.
    :param batch: how many cases one form has.
    :param store_conn_id: the connection of the store.
    """

    SUBMIT = "Submit"
    template_fields: Sequence[str] = (
        *HITLOperator.template_fields,
        "model_name",
        "predictions",
        "partition",
        "assigned_users",
        "labels",
        "store_conn_id",
    )

    def __init__(
        self,
        *,
        model_name: str,
        predictions: str | None = None,
        partition: str | None = None,
        min_confidence: float | None = None,
        max_score: float | None = None,
        disputed: bool = True,
        margin: float = 0.5,
        show: Sequence[str] = (),
        labels: Mapping[str, Any] | Sequence[Any] | None = None,
        score: bool = False,
        people: int = 1,
        assigned_users: Any = (),
        max_age: float | None = None,
        max_open: int = 200,
        ask: bool = False,
        batch: int = 5,
        subject: str = "What should the model have answered?",
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject=subject, options=[self.SUBMIT], assigned_users=assigned_users, **kwargs
        )
        self.model_name = model_name
        self.predictions = predictions
        self.partition = partition
        self.min_confidence = min_confidence
        self.max_score = max_score
        self.disputed = disputed
        self.margin = margin
        self.show = show
        self.labels = labels
        self.score = score
        self.people = people
        self.max_age = max_age
        self.max_open = max_open
        self.ask = ask
        self.batch = batch
        self.store_conn_id = store_conn_id
        if "{{" not in model_name and feedback_alias(model_name) not in self.outlets:
            self.outlets = [*self.outlets, feedback_alias(model_name)]

    def execute(self, context: Context) -> Any:
        """Fill the queue; then ask, or go on."""
        service = self._service()
        names = self._names()
        with hopeless_fails():
            service.deliver()
            added = service.collect(
                model_name=self.model_name,
                search=self._search(),
                asking=self._asking(context["ti"].dag_id, names),
                predictions=self.predictions,
                partition=self.partition,
            )
        counts = {"added": added.added, "known": added.known, "left_out": added.left_out}
        self.log.info("Exceptions of %s: %s", self.model_name, counts)
        if added.left_out:
            self.log.warning(
                "%s exceptions were left out: %s of %s are open already",
                added.left_out,
                self.max_open,
                self.model_name,
            )
        cases = self._claimed(service, context, names) if self.ask else []
        if not cases:
            return self._result(counts)
        context["ti"].xcom_push(key="collected", value=counts)
        self._show(cases, names)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answers in; what was left empty goes to somebody else."""
        service, holder, ti = self._service(), _holder(context), context["ti"]
        cases = service.queue.find(holder=holder, limit=self.batch)
        if "error" in event:
            for case in cases:
                service.queue.give_back(case.id, holder, cannot_tell=False)
            self.process_trigger_event_error(event)
        who = (event.get("responded_by_user") or {}).get("id")
        if not who:
            raise AirflowFailException("Nobody is known to have answered: it counts as no answer.")
        counts = ti.xcom_pull(task_ids=ti.task_id, key="collected", map_indexes=ti.map_index) or {}
        result = self._result(counts, asked=len(cases))
        for case in cases:
            self._take(service, case, holder, str(who), event.get("params_input") or {}, result)
        if result["answered"]:
            result["batch"] = service.deliver() or result["batch"]
            alias = feedback_alias(self.model_name)
            if alias in self.outlets:
                extra = {"model_name": self.model_name, "new": result["answered"], **result}
                context["outlet_events"][alias].add(feedback_asset(self.model_name), extra=extra)
        return result

    def _take(
        self,
        service: ExceptionService,
        case: Case,
        holder: str,
        who: str,
        form: Mapping[str, Any],
        result: dict[str, Any],
    ) -> None:
        from airflow_ai_provider.core.feedback.asking import answer_of

        try:
            answer = answer_of(case, form)
            if answer is None:
                service.queue.give_back(case.id, holder, by=who)
                result["returned"] += 1
                return
            result["batch"] = service.answer(case.id, holder, answer, by=who)["batch"]
            result["answered"] += 1
        except (ExceptionReviewError, FeedbackRecordError) as error:
            self.log.warning("%s", error)
            result["refused"].append({"case": case.id, "why": error.message})
            service.queue.give_back(case.id, holder, cannot_tell=False)

    def _claimed(
        self, service: ExceptionService, context: Context, names: Sequence[str]
    ) -> list[Case]:
        """Return the cases that this task asks about: those of an earlier try, else new ones."""
        holder = _holder(context)
        standing = service.queue.find(holder=holder, limit=self.batch)
        if standing:
            return standing
        timeout = self.response_timeout + timedelta(hours=1) if self.response_timeout else _KEPT
        return service.claim(
            holder,
            model_name=self.model_name,
            limit=self.batch,
            hold_for=timeout.total_seconds(),
            users=names or None,
        )

    def _show(self, cases: Sequence[Case], names: Sequence[str]) -> None:
        from airflow_ai_provider.core.feedback.asking import COMMENT, body_of, field_of, schema_of

        fields = {
            field_of(case): Param(None, source="task", **schema_of(case, number))
            for number, case in enumerate(cases, 1)
        }
        fields[COMMENT] = Param(None, type=["null", "string"], title="Comment", source="task")
        self.params = ParamsDict(fields)
        self.body = "\n\n".join(part for part in (self.body, body_of(cases)) if part)
        self.assigned_users = [{"id": name, "name": name} for name in names]

    def _search(self) -> Search:
        from airflow_ai_provider.services.exceptions import Search

        return Search(
            min_confidence=self.min_confidence,
            max_score=self.max_score,
            disputed=self.disputed,
            margin=self.margin,
            show=tuple(self.show),
        )

    def _asking(self, dag_id: str, names: Sequence[str]) -> Asking:
        from airflow_ai_provider.core.feedback.exceptions import Asking, read_labels

        return Asking(
            people=self.people,
            assignees=tuple(names),
            labels=read_labels(self.labels),
            score=self.score,
            max_age=self.max_age,
            max_open=self.max_open,
            dag_id=dag_id,
        )

    def _names(self) -> list[str]:
        said: Any = self.assigned_users or ()
        found = [said] if isinstance(said, (str, dict)) else said
        return [str(one["id"]) if isinstance(one, dict) else str(one) for one in found]

    def _service(self) -> ExceptionService:
        from airflow_ai_provider.hooks.feedback import FeedbackHook

        return FeedbackHook(self.store_conn_id).exceptions()

    def _result(self, counts: Mapping[str, int], *, asked: int = 0) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "added": 0,
            "known": 0,
            "left_out": 0,
            **counts,
            "asked": asked,
            "answered": 0,
            "returned": 0,
            "refused": [],
            "batch": None,
        }


def _holder(context: Context) -> str:
    """Return the name under which the task claims, the same over its tries."""
    from airflow_ai_provider.core.gate import digest

    ti = context["ti"]
    place = [ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1)]
    return f"task:{digest(place)}"
