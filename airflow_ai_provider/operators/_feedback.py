"""What the operators of the feedback loop share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import (
    FeedbackError,
    FeedbackSinkError,
    FeedbackSourceLostError,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


@contextmanager
def hopeless_fails() -> Iterator[None]:
    """Fail the task at once on input that a retry would find the same."""
    try:
        yield
    except (FeedbackSourceLostError, FeedbackSinkError):
        raise  # a source that comes back, a disk that gets room
    except FeedbackError as error:
        raise AirflowFailException(str(error)) from error


def run_key(context: Context) -> str:
    """Return the key of the task instance over all its tries."""
    from airflow_ai_provider.core.gate import digest

    ti = context["ti"]
    return digest([ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1)])


def is_plain(value: Any) -> bool:
    """Whether a text is known when the DAG is parsed."""
    return isinstance(value, str) and "{{" not in value and "{%" not in value


def add_outlet(operator: BaseOperator, alias: Any) -> None:
    """Let the operator tell of ``alias``."""
    if alias not in operator.outlets:
        operator.outlets = [*operator.outlets, alias]


def truth(value: Any) -> bool:
    """Return a truth value, which a rendered template is as a text."""
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "false", "no", "none"}
    return bool(value)
