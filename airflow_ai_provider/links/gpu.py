"""From a task instance to its place in the queue and its lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

PREFIX = "/airflow-ai"


class GpuLeaseLink(BaseOperatorLink):
    """The page of our plugin that shows the ticket of a task instance and the lease it got.

    It is live: the operator pushes the address before it asks for devices, so that the page is
    there while the task waits and while it runs.
    """

    name = "GPU lease"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the page's address; empty for a task instance without an id."""
        from airflow_ai_provider.hooks.gpu import ticket_id_of

        ti_id = getattr(ti_key, "id", None)
        return page_of(ticket_id_of(str(ti_id))) if ti_id else ""


def page_of(ticket_or_lease: str) -> str:
    """Return the address of the page about a ticket or a lease."""
    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    return urljoin(f"{base}/", f"{PREFIX.lstrip('/')}/gpu/lease/{ticket_or_lease}")
