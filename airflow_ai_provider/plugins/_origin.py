"""Who may change something over HTTP: not another site, in the name of somebody logged in here."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.sdk.configuration import conf
from fastapi import HTTPException, Request


def refuse_other_sites(request: Request) -> None:
    """Refuse a request that a browser could have been made to send by another site's page.

    Airflow takes its login from a cookie as well. A request that carries a token of its own was
    made on purpose; any other must say that it comes from a page of this server.
    """
    if request.headers.get("authorization"):
        return
    origin = urlsplit(request.headers.get("origin") or "").netloc
    own = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
    if not origin or origin not in own:
        raise HTTPException(403, "The request does not come from a page of this server.")
