"""A trial of a search in a pod: the study is asked before it is made, and told when it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import task_decorator_factory
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.core.gpu.shipping import ship
from airflow_ai_provider.decorators._gpu_pod import _GpuPodDecoratedOperator, _plain
from airflow_ai_provider.decorators.gpu import for_pod
from airflow_ai_provider.hooks._search import open_search

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator
    from kubernetes.client import V1Pod

    from airflow_ai_provider.services.search import Search

_UNASKED: dict[str, Any] = {"number": 0, "params": {}}


class _GpuPodTrialOperator(_GpuPodDecoratedOperator):
    """The objective of a search in a pod, with the parameters of one trial."""

    shallow_copy_attrs: Sequence[str] = ("python_callable", "objective")

    def __init__(
        self,
        *,
        objective: Callable[..., Any],
        settings: Mapping[str, Any],
        mapped: str,
        space: Mapping[str, Any] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.objective = objective
        self.settings = settings
        self.mapped = mapped
        self.space = space

    def execute(self, context: Context) -> Any:
        """Run the trial, unless it was told before: a cleared task has the same trial."""
        _ = self._space  # what is wrong with it is said before anything is waited for
        told = self._search(context).told(self._slot)
        if told is not None:
            return told
        return self._told(context, lambda: super(_GpuPodTrialOperator, self).execute(context))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the pod has ended, or cannot run."""
        again = super().trigger_reentry
        return self._told(context, lambda: again(context, event))

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Ask the study and make the pod, which has its devices by now: so others' ends count."""
        lease = self._lease.mark if self._lease else None
        asked = self._search(context).ask(self._slot, self._space, lease=lease)
        self.log.info("Trial %s has %s", asked["number"], asked["params"])
        self._load(pod_request_obj, self._ship(asked))
        return super().get_or_create_pod(pod_request_obj, context)

    def _told(self, context: Context, run: Callable[[], Any]) -> Any:
        """Tell the study what came of the pod; a failure at the last try fails the trial."""
        ti: Any = context["ti"]
        try:
            answer = run()
        except (TaskDeferred, AirflowSkipException):
            raise
        except BaseException as error:
            is_last = ti.try_number > (ti.max_tries or 0)
            if is_last or isinstance(error, AirflowFailException):
                self._search(context).lose(self._slot)
            raise
        return self._search(context).tell(self._slot, answer or {})

    def _shipped(self, context: Context | None) -> str:
        return self._ship(_UNASKED)

    def _ship(self, asked: Mapping[str, Any]) -> str:
        from airflow_ai_provider.services import search_trial

        given = {name: _plain(value) for name, value in (self._given or {}).items()}
        around = Path(search_trial.__file__).read_text(encoding="utf-8")
        return ship(self.objective, [dict(asked)], given, around=around)

    @property
    def _slot(self) -> int:
        return int(self.op_kwargs["slot"])

    @property
    def _given(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.op_kwargs["arguments"]
        return found

    @property
    def _space(self) -> Any:
        from airflow_ai_provider.core.search_space import space_of

        try:
            return space_of(self.space)
        except SearchError as error:  # the next try would have the same
            raise AirflowFailException(str(error)) from error

    def _search(self, context: Context) -> Search:
        known: Any = context
        return open_search(
            self.settings, store_conn_id=self.store_conn_id, mapped=self.mapped, context=known
        )


def trial_in_pod(
    objective: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    mapped: str,
    space: Mapping[str, Any] | None,
    kubernetes: Mapping[str, Any] | None,
    **kwargs: Any,
) -> TaskDecorator:
    """Return what makes a function of ``slot`` and ``arguments`` the task of trials in pods."""
    return task_decorator_factory(
        decorated_operator_class=_GpuPodTrialOperator,
        objective=objective,
        settings=dict(settings),
        mapped=mapped,
        space=space,
        **for_pod(kwargs, kubernetes or {}),
    )
