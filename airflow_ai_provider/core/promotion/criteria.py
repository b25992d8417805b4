"""The criteria of a model gate: read from dicts, checked, each with a name.

On the held-out rows::

    {"name": "ranks", "kind": "threshold", "metric": "roc_auc", "min": 0.70}
    {"kind": "improvement", "metric": "roc_auc", "over": "reference", "min_lower": 0.03}
    {"kind": "improvement", "metric": "log_loss", "max_upper": 0.0}
    {"kind": "rise", "metric": "ece", "max": 0.02}
    {"kind": "slice_gap", "slice": "carrier", "min_rows": 400, "max": 0.15}
    {"kind": "worst_slice", "slice": "carrier", "metric": "roc_auc", "min": 0.6}
    {"kind": "slice_spread", "slice": "origin", "metric": "accuracy", "max": 0.05}
    {"kind": "calibration", "error": "ece", "max": 0.05}             # "mce": of the worst bin
    {"kind": "min_rows", "min": 1000}
    {"kind": "reproducible", "metric": "roc_auc", "max": 0.002}      # after a retraining

On what else the evidence says::

    {"kind": "reported", "figure": "val_loss", "max": 0.4}           # the run's own metric
    {"kind": "loads"}                      # in a process of its own
    {"kind": "budget", "cost": "p95_ms", "max": 50}
    {"kind": "gated_data"}
    {"kind": "own_data"}
    {"kind": "drift"}                      # the evaluation data passed its drift gate
    {"kind": "assessment", "assessment": "grounded", "by": "judge", "min": 0.9, "min_answers": 50}
                                           # on an application's traces; "bound": "outer" asks the
                                           # end of the 95 % interval that is nearer the limit

On what the store knows when the gate judges::

    {"kind": "human_score", "min": 3.5, "min_answers": 20, "bound": "lower"}
                                           # "source": "traces", "assessment": "helpful": of MLflow
    {"kind": "live_metric", "metric": "roc_auc", "min": 0.65, "min_rows": 200}
    {"kind": "shadow", "metric": "log_loss", "max_upper": 0.0}     # on the same feedback
    {"kind": "feedback_loop", "min": 1, "days": 30}
    {"kind": "live_models", "max": 3}

Your own::

    {"kind": "custom", "name": "profit", "call": "our.criteria:profit", "min": 0.0}

``call`` is a function of a ``Case`` that returns a number, or ``(number, sentence)``.

``severity: warn`` on any lets a miss pass with a warning; what could not be measured never passes.
``no_reference: pass`` on an improvement, a rise or a shadow lets the first model through.
How each is measured: ``on_rows.py``, ``on_evidence.py``, ``on_life.py``.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import CriteriaError
from airflow_ai_provider.core.promotion.bootstrap import COMPARABLE
from airflow_ai_provider.core.promotion.metrics import METRICS

OVER = ("reference", "champion", "baseline")
SEVERITIES = ("fail", "warn")
LIVE_METRICS = ("coverage", "gap", "log_loss", "roc_auc")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What a kind of criterion is made of."""

    texts: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)  # allowed values
    limits: tuple[str, ...] = ()  # exactly one of them
    numbers: Mapping[str, float] = field(default_factory=dict)  # optional, with the default
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # optional, first default
    words: Mapping[str, str] = field(default_factory=dict)  # optional texts, with the default
    calls: tuple[str, ...] = ()  # functions, or their names


_ALL = tuple(METRICS)
_FIRST_MODEL = {"no_reference": ("fail", "pass")}
_INTERVAL = {"resamples": 1000, "confidence": 0.95, "seed": 0}
KINDS: dict[str, _Kind] = {
    "threshold": _Kind(texts={"metric": _ALL}, limits=("min", "max")),
    "improvement": _Kind(
        texts={"metric": COMPARABLE},
        limits=("min_lower", "max_upper"),
        numbers=_INTERVAL,
        choices={"over": OVER, **_FIRST_MODEL},
    ),
    "rise": _Kind(texts={"metric": _ALL}, limits=("max",), choices={"over": OVER, **_FIRST_MODEL}),
    "slice_gap": _Kind(texts={"slice": None}, limits=("max",), numbers={"min_rows": 1}),
    "worst_slice": _Kind(
        texts={"slice": None, "metric": _ALL}, limits=("min", "max"), numbers={"min_rows": 1}
    ),
    "slice_spread": _Kind(
        texts={"slice": None, "metric": _ALL}, limits=("max",), numbers={"min_rows": 1}
    ),
    "calibration": _Kind(limits=("max",), choices={"error": ("ece", "mce")}),
    "min_rows": _Kind(limits=("min",)),
    "reproducible": _Kind(texts={"metric": _ALL}, limits=("max",)),
    "reported": _Kind(texts={"figure": None}, limits=("min", "max")),
    "loads": _Kind(),
    "budget": _Kind(texts={"cost": None}, limits=("max",)),
    "gated_data": _Kind(),
    "own_data": _Kind(),
    "drift": _Kind(),
    "assessment": _Kind(
        texts={"assessment": None, "by": ("person", "judge", "code")},
        limits=("min", "max"),
        numbers={"min_answers": 10},
        choices={"bound": ("mean", "outer")},
    ),
    "human_score": _Kind(
        limits=("min",),
        numbers={"min_answers": 10},
        choices={"bound": ("mean", "lower"), "source": ("feedback", "traces")},
        words={"assessment": "human_score"},
    ),
    "live_metric": _Kind(
        texts={"metric": LIVE_METRICS}, limits=("min", "max"), numbers={"min_rows": 1}
    ),
    "shadow": _Kind(
        texts={"metric": COMPARABLE},
        limits=("min_lower", "max_upper"),
        numbers={**_INTERVAL, "min_rows": 100},
        choices=_FIRST_MODEL,
    ),
    "feedback_loop": _Kind(limits=("min",), numbers={"days": 30}),
    "live_models": _Kind(limits=("max",)),
    "custom": _Kind(limits=("min", "max"), calls=("call",)),
}
_CALL = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_RANGES = {
    "min_answers": (1, math.inf),
    "days": (1, 3650),
    "resamples": (100, 100_000),
    "confidence": (0.5, 0.999),
    "seed": (0, 2**32),
    "min_rows": (1, math.inf),
}


@dataclass(frozen=True, kw_only=True)
class ModelCriterion:
    """One criterion, checked: every option of its kind is set."""

    name: str
    kind: str
    options: Mapping[str, Any]
    severity: str = "fail"

    def __getitem__(self, option: str) -> Any:
        return self.options[option]

    @property
    def limit(self) -> Any:
        """The number that decides; for a criterion without one, what must be so."""
        for option in KINDS[self.kind].limits:
            if option in self.options:
                return self.options[option]
        return True


def parse_criteria(value: Any) -> tuple[ModelCriterion, ...]:
    """Return ``value``, a list of dicts or a dict with such a list as ``criteria``, checked.

    :raises CriteriaError: it is something else, or one of them means nothing; says which.
    """
    if isinstance(value, Mapping):
        value = value.get("criteria")
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise CriteriaError(
            "Criteria must be a list.", remedy="Write a list of objects with a kind each."
        )
    found = tuple(_criterion(place, item) for place, item in enumerate(value, start=1))
    if not found:
        raise CriteriaError("There are no criteria: the gate would let everything pass.")
    names = [criterion.name for criterion in found]
    for name in names:
        if names.count(name) > 1:
            raise CriteriaError(
                f"Two criteria are named {name!r}.", remedy="Name each differently.", name=name
            )
    return found


def _criterion(place: int, item: Any) -> ModelCriterion:
    if not isinstance(item, Mapping):
        raise CriteriaError(f"Criterion {place} is no object: {item!r}.")
    given = dict(item)
    kind = given.pop("kind", None)
    where = f"Criterion {place} ({given.get('name', kind)})"
    if not isinstance(kind, str) or kind not in KINDS:
        raise CriteriaError(
            f"{where} has the unknown kind {kind!r}.", remedy=_suggest(kind, tuple(KINDS))
        )
    name = given.pop("name", None)
    severity = _one_of(where, "severity", given.pop("severity", "fail"), SEVERITIES)
    options = _options(where, KINDS[kind], given)
    if given:
        unknown = next(iter(given))
        known = (*KINDS[kind].texts, *KINDS[kind].limits, *options)
        raise CriteriaError(
            f"{where} has the unknown option {unknown!r}.", remedy=_suggest(unknown, known)
        )
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise CriteriaError(f"{where} has the name {name!r}.", remedy="Write a text.")
    return ModelCriterion(
        name=name or _name(kind, options), kind=kind, options=options, severity=severity
    )


def _options(where: str, kind: _Kind, given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option, allowed in kind.texts.items():
        options[option] = _one_of(where, option, given.pop(option, None), allowed)
    limits = [option for option in kind.limits if option in given]
    if kind.limits and len(limits) != 1:
        raise CriteriaError(f"{where} needs exactly one of {' and '.join(kind.limits)}.")
    for option in limits:
        options[option] = _number(where, option, given.pop(option))
    for option, default in kind.numbers.items():
        options[option] = _number(where, option, given.pop(option, default))
    for option, choices in kind.choices.items():
        options[option] = _one_of(where, option, given.pop(option, choices[0]), choices)
    for option, default_word in kind.words.items():
        options[option] = _one_of(where, option, given.pop(option, default_word), None)
    for option in kind.calls:
        options[option] = _call(where, option, given.pop(option, None))
    return options


def _call(where: str, option: str, value: Any) -> Any:
    if callable(value) or (isinstance(value, str) and _CALL.fullmatch(value)):
        return value
    raise CriteriaError(
        f"{where} has {option}: {value!r}.", remedy="Write package.module:function, or a function."
    )


def _number(where: str, option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CriteriaError(f"{where} has {option}: {value!r}.", remedy="Write a number.")
    low, high = _RANGES.get(option, (-math.inf, math.inf))
    if not low <= value <= high:
        raise CriteriaError(
            f"{where} has {option}: {value!r}.", remedy=f"{low} to {high} is allowed."
        )
    return value


def _one_of(where: str, option: str, value: Any, allowed: tuple[str, ...] | None) -> str:
    if not isinstance(value, str) or not value:
        raise CriteriaError(
            f"{where} has no {option}.",
            remedy=f"Choose from {', '.join(allowed)}." if allowed else "Write a name.",
        )
    if allowed is not None and value not in allowed:
        raise CriteriaError(f"{where} has {option}: {value!r}.", remedy=_suggest(value, allowed))
    return value


def _suggest(value: Any, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(value), allowed, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(allowed)}."


def _name(kind: str, options: Mapping[str, Any]) -> str:
    about = what(options)
    return f"{about} {kind}" if about else kind


def what(options: Mapping[str, Any]) -> str:
    """Return what a criterion with ``options`` is about, in a few words."""
    call = options.get("call")
    if "by" in options:
        return str(options["assessment"])
    named = [
        options[key] for key in ("slice", "metric", "cost", "figure", "error") if key in options
    ]
    if call is not None:
        named.append(call if isinstance(call, str) else getattr(call, "__name__", "a function"))
    return " ".join(named)
