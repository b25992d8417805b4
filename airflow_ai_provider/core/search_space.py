"""The space of a search as a DAG declares it: what each parameter may be.

Optuna learns a space from the objective as it runs. A trial in a pod is asked about before its
objective runs, so its space has to be said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import SearchError

_KEYS = {"low", "high", "step", "log"}
_PLAIN = (str, bool, int, float, type(None))


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """What one parameter may be: one of ``choices``, or a number from ``low`` to ``high``."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def space_of(document: Mapping[str, Any] | None) -> tuple[Dimension, ...]:
    """Return the space that ``document`` declares, by name.

    :raises SearchError: there is none, or a parameter of it means nothing.
    """
    if not isinstance(document, Mapping) or not document:
        raise SearchError(
            "A search whose trials run in pods has no space: what its parameters may be.",
            remedy='Give it: space={"rate": {"low": 1e-5, "high": 0.1, "log": True}, '
            '"layers": {"low": 1, "high": 4}, "kind": ["adam", "sgd"]}.',
        )
    return tuple(_dimension(str(name), said) for name, said in document.items())


def _dimension(name: str, said: Any) -> Dimension:
    if isinstance(said, Sequence) and not isinstance(said, str | bytes):
        if not said or not all(isinstance(choice, _PLAIN) for choice in said):
            raise _wrong(name, f"{said!r} is no list of texts, numbers and truth values")
        return Dimension(name=name, choices=tuple(said))
    if not isinstance(said, Mapping):
        raise _wrong(name, f"{said!r} is neither a list nor low and high")
    if unknown := sorted(map(str, said.keys() - _KEYS)):
        raise _wrong(name, f"it has {', '.join(unknown)}, which means nothing")
    low, high = (_number(name, said.get(key), key) for key in ("low", "high"))
    log, step = bool(said.get("log", False)), said.get("step")
    step = None if step is None else _number(name, step, "step")
    if low > high:
        raise _wrong(name, f"low is {low} and high is {high}")
    if log and low <= 0:
        raise _wrong(name, f"with log, low must be above 0, and it is {low}")
    if log and step is not None:
        raise _wrong(name, "log and step exclude each other")
    if step is not None and step <= 0:
        raise _wrong(name, f"step is {step}")
    made = Dimension(name=name, low=low, high=high, step=step, log=log)
    if made.is_whole and not (step is None or isinstance(step, int)):
        raise _wrong(name, f"low and high are whole numbers, and step is {step}")
    return made


def _number(name: str, value: Any, key: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise _wrong(name, f"{key} is {value!r}, which is no number")
    found: float = value
    return found


def _wrong(name: str, why: str) -> SearchError:
    return SearchError(
        f"The space of the search is wrong at {name!r}: {why}.",
        remedy='Write a list of choices, or {"low": ..., "high": ...} with "step" or "log".',
    )
