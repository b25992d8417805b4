"""Ask a serving endpoint over HTTP, with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_ai_provider.core.errors import PromotionError

_LARGEST = 10_000_000  # bytes of an answer that are read


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an endpoint said; ``status`` 0 when it did not answer, with the reason in ``trouble``.

    ``document`` is None when the answer is no JSON, with the reason in ``trouble``.
    """

    status: int
    document: Any = None
    trouble: str | None = None


def post_json(url: str, body: Any, *, headers: Mapping[str, str], timeout: float) -> Answer:
    """Send ``body`` to ``url`` and return the answer; nothing is raised for what it says.

    :raises PromotionError: the URL is not one of HTTP.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        raise PromotionError(f"{url!r} is no address of HTTP.", remedy="Write http://HOST/PATH.")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return _read(response.status, response.read(_LARGEST))
    except urllib.error.HTTPError as error:
        return Answer(status=error.code, trouble=f"it answers {error.code} {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return Answer(status=0, trouble=f"it does not answer: {reason or type(error).__name__}")


def _read(status: int, text: bytes) -> Answer:
    try:
        return Answer(status=status, document=json.loads(text))
    except ValueError:
        return Answer(status=status, trouble="it answers no JSON")
