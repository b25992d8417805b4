"""The smoke check of an endpoint after a move: what it must answer to sample inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_ai_provider.core.errors import PromotionError

_NUMBERS = ("timeout", "patience", "min", "max", "count")


@dataclass(frozen=True, kw_only=True)
class SmokeCheck:
    """What is sent to an endpoint and what must come back.

    ``inputs`` is the JSON body, sent as it is. The answer must be JSON: a list of predictions, or
    an object with ``predictions``; none may be missing or no finite number where it is a number.
    ``count``, ``min`` and ``max`` bound them. ``version_field`` names the field of the answer that
    must be the promoted version: without it an endpoint that still serves the old one passes.

    ``timeout`` is the seconds of one request; for ``patience`` seconds it is asked again while it
    does not answer, is busy, or serves another version.
    """

    url: str
    inputs: Any
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    patience: float = 60.0
    count: float | None = None
    min: float | None = None
    max: float | None = None
    version_field: str | None = None


def read_smoke(said: Any) -> SmokeCheck:
    """Return the check that ``said``, a dict, means.

    :raises PromotionError: it has no url or inputs, a word nobody knows, or no number.
    """
    known = [f.name for f in fields(SmokeCheck)]
    if not isinstance(said, Mapping) or not said.get("url") or said.get("inputs") is None:
        raise PromotionError(
            "A smoke check needs url and inputs.",
            remedy='Write {"url": "http://HOST/invocations", "inputs": {...}}.',
        )
    if unknown := sorted(set(said) - set(known)):
        raise PromotionError(
            f"A smoke check has no {', '.join(unknown)}.", remedy=f"It has {', '.join(known)}."
        )
    for name in _NUMBERS:
        value = said.get(name)
        if value is not None and not _is_number(value):
            raise PromotionError(f"The smoke check's {name} is {value!r}: no number.", field=name)
    return SmokeCheck(**{name: value for name, value in said.items() if value is not None})


def trouble_with(check: SmokeCheck, document: Any) -> str | None:
    """Return what is wrong with an answer; None when nothing is."""
    found = document.get("predictions") if isinstance(document, Mapping) else document
    if not isinstance(found, list) or not found:
        return "it answers no predictions"
    if check.count is not None and len(found) != check.count:
        return f"it answers {len(found)} predictions, not {check.count:g}"
    values = list(_flat(found))
    for value in values:
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return f"it predicts {value}"
        bounded = check.min is not None or check.max is not None
        if bounded and not _is_number(value):
            return f"it predicts {value!r}, which is no number"
        if check.min is not None and value < check.min:
            return f"it predicts {value}, below {check.min:g}"
        if check.max is not None and value > check.max:
            return f"it predicts {value}, above {check.max:g}"
    return None if values else "it answers no predictions"


def other_version(check: SmokeCheck, document: Any, version: str) -> str | None:
    """Return what is wrong when the endpoint does not say that it serves ``version``."""
    if check.version_field is None:
        return None
    said = document.get(check.version_field) if isinstance(document, Mapping) else None
    return None if str(said) == version else f"it serves version {said}, not {version}"


def _flat(value: Any) -> Any:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _flat(item)
    else:
        yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
