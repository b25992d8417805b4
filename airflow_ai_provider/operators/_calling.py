"""Calling functions of users with as much of a task's context as they name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def named(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``values`` that ``function`` names, all of them where it takes any."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(values)
    return {name: value for name, value in values.items() if name in parameters}


def rendered_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as Airflow calls a template field that is callable.

    It gets ``context``, ``jinja_env`` and everything in the context, as far as it names them:
    ``lambda: suite`` does as well as ``def suite(params)``.
    """

    def call(context: Mapping[str, Any], jinja_env: Any) -> Any:
        values = {**context, "context": context, "jinja_env": jinja_env}
        return function(**named(function, values))

    return call
