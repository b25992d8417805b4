"""From a task instance to the page about what its gate decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

PREFIX = "/airflow-ai"


class QualityReportLink(BaseOperatorLink):
    """The page of our plugin about the newest decision of a gate task in its run.

    The operator pushes the address before it looks at the data: the page is there while the gate
    looks, after it passed and after it failed.
    """

    name = "Quality report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the page's address."""
        return page_of(
            dag_id=ti_key.dag_id,
            run_id=ti_key.run_id,
            task_id=ti_key.task_id,
            map_index=getattr(ti_key, "map_index", -1),
        )


def page_of(*, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the address of the page about what a task decided in a run."""
    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    asked = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return urljoin(f"{base}/", f"{PREFIX.lstrip('/')}/quality/task?{urlencode(asked)}")
