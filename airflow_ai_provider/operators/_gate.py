"""What a gate operator does with its verdict: the choices of ``on_fail``, alike for each gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_ai_provider.core.gate import Verdict

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.errors import GateRefusedError

ON_FAIL = ("fail", "skip", "branch", "warn")


class GateOutcome(SkipMixin):
    """Fail the task, skip it and so what follows, branch, or warn and go on.

    ``branch_task_ids`` are directly downstream: they run after a refusal and are skipped on a pass;
    the other tasks downstream the other way round.
    """

    on_fail: str
    branch_task_ids: str | Sequence[str] | None

    if TYPE_CHECKING:  # what the operator beside this class has

        def get_direct_relatives(self, upstream: bool = False) -> Iterable[Any]: ...

    def check_on_fail(self) -> None:
        """Refuse a choice that means nothing."""
        if self.on_fail not in ON_FAIL:
            raise AirflowFailException(
                f"on_fail is {self.on_fail!r}. Choose one of {', '.join(ON_FAIL)}."
            )
        if self.on_fail == "branch" and not self.branch_task_ids:
            raise AirflowFailException("on_fail is 'branch', but branch_task_ids names no task.")

    def weighed(self, verdict: Verdict) -> Verdict:
        """Return what ``verdict`` comes to: a gate that only warns lets everything pass."""
        if self.on_fail == "warn" and verdict is Verdict.FAIL:
            return Verdict.WARN
        return verdict

    def conclude(
        self, context: Context, result: dict[str, Any], refusal: GateRefusedError | None
    ) -> dict[str, Any]:
        """Return ``result``, or end the task as ``on_fail`` says; it is pushed either way."""
        if refusal is not None:
            self.log.warning("%s", refusal)
        if self.on_fail == "branch":
            context["ti"].xcom_push(key="return_value", value=result)
            self.skip(context["ti"], self._not_taken(refused=refusal is not None))
        elif refusal is not None and self.on_fail != "warn":
            context["ti"].xcom_push(key="return_value", value=result)
            kind = AirflowSkipException if self.on_fail == "skip" else AirflowFailException
            raise kind(str(refusal)) from refusal
        return result

    def _not_taken(self, *, refused: bool) -> list[Any]:
        named = self.branch_task_ids or ()
        branches = {named} if isinstance(named, str) else set(named)
        below = self.get_direct_relatives(upstream=False)
        return [task for task in below if (task.task_id in branches) is not refused]
