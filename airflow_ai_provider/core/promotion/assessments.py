"""What people, judges and checks said of an application's answers: assessments on its traces.

MLflow keeps an assessment with the trace of the answer that it is about. The unit of evidence is
the trace: ten people's words on one answer tell of one answer, so the mean and its interval are of
the traces' own means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_ai_provider.core.errors import EvidenceError

BY = {"HUMAN": "person", "LLM_JUDGE": "judge", "CODE": "code"}
_WORDS = {"yes": 1.0, "true": 1.0, "pass": 1.0, "no": 0.0, "false": 0.0, "fail": 0.0}


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """One assessment of a trace; ``made_at`` is ISO 8601 in UTC, ``value`` as it was logged."""

    id: str
    name: str
    value: Any
    by: str  # "person", "judge", "code", or what the server says
    source: str | None = None
    span_id: str | None = None
    made_at: str = ""
    rationale: str | None = None
    holds: bool = True  # False: another assessment overrides it


@dataclass(frozen=True, kw_only=True)
class AssessedTrace:
    """A trace and all that was said of it."""

    id: str
    experiment: str
    assessments: tuple[Assessment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AssessmentSummary:
    """What all assessments of one name, by one kind of assessor, say.

    Mean and deviation are of the ``traces``' own means; each is None where there is none.
    """

    name: str
    by: str
    answers: int
    traces: int
    sources: int
    unusable: int
    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None


class Traces(Protocol):
    """The traces on one server; errors as of ``ModelRegistry``."""

    def find_experiments(self, names: Sequence[str]) -> list[str]:
        """Return the ids of the experiments ``names`` (names or ids); of all when none is named."""

    def search(self, experiments: Sequence[str], said: str) -> Iterator[AssessedTrace]:
        """Yield the traces in ``experiments`` that MLflow's filter ``said`` finds, oldest first."""


def traces_of_prompt(name: str, version: str) -> str:
    """Return MLflow's filter for the traces of answers to a prompt version."""
    return f"prompt = {_quoted(f'{name}/{version}')}"


def traces_of_model(model_id: str) -> str:
    """Return MLflow's filter for the traces of a logged model's answers."""
    return f"request_metadata.`mlflow.modelId` = {_quoted(model_id)}"


def traces_of_run(run_id: str) -> str:
    """Return MLflow's filter for the traces that a run logged."""
    return f"attributes.run_id = {_quoted(run_id)}"


def summarised(traces: Iterable[AssessedTrace]) -> tuple[int, list[AssessmentSummary]]:
    """Return how many traces there are, and what their assessments say, by name and by whom.

    Each source's newest word on a trace counts, and of those who gave no name one on each trace.
    ``True`` and *yes* count as 1, ``False`` and *no* as 0; what is no number is ``unusable``.
    """
    seen: set[str] = set()  # a page may repeat what the page before showed
    groups: dict[tuple[str, str], dict[str, list[tuple[str, Any]]]] = {}
    for trace in traces:
        if trace.id in seen:
            continue
        seen.add(trace.id)
        for found in _last_words(trace.assessments):
            by_trace = groups.setdefault((found.name, found.by), {})
            by_trace.setdefault(trace.id, []).append((found.source or "", found.value))
    return len(seen), [_summary(*key, by_trace) for key, by_trace in sorted(groups.items())]


def _last_words(found: Iterable[Assessment]) -> Iterator[Assessment]:
    newest: dict[tuple[str, str, str | None, str | None], Assessment] = {}
    for each in sorted(found, key=lambda a: (a.made_at, a.id)):
        if each.holds:
            newest[each.name, each.by, each.source, each.span_id] = each
    yield from newest.values()


def _summary(name: str, by: str, by_trace: dict[str, list[tuple[str, Any]]]) -> AssessmentSummary:
    means: list[float] = []
    numbers: list[float] = []
    sources: set[str] = set()
    unusable = 0
    for said in by_trace.values():
        values = []
        for source, value in said:
            number = as_number(value)
            if number is None:
                unusable += 1
            else:
                values.append(number)
                sources.add(source)
        if values:
            means.append(statistics.fmean(values))
            numbers += values
    return AssessmentSummary(
        name=name,
        by=by,
        answers=len(numbers),
        traces=len(means),
        sources=len(sources),
        unusable=unusable,
        mean=statistics.fmean(means) if means else None,
        deviation=statistics.stdev(means) if len(means) > 1 else None,
        low=min(numbers, default=None),
        high=max(numbers, default=None),
    )


def read_summary(value: Any) -> AssessmentSummary:
    """Return a summary that stands in evidence.

    :raises EvidenceError: it is none, or says more than it has.
    """
    try:
        found = AssessmentSummary(**value)
        counts = (found.answers, found.traces, found.sources, found.unusable)
        numbers = (found.mean, found.deviation, found.low, found.high)
        sound = (
            isinstance(found.name, str)
            and all(isinstance(n, int) and n >= 0 for n in counts)
            and all(n is None or as_number(n) == n for n in numbers)
            and (found.traces == 0 or None not in (found.mean, found.low, found.high))
            and (found.traces < 2 or found.deviation is not None)
        )
    except TypeError:
        sound = False
    if not sound:
        raise EvidenceError(
            f"The evidence's assessments hold {value!r}, which sums up nothing.",
            remedy="Let TraceEvidenceOperator collect them.",
        )
    return found


def as_number(value: Any) -> float | None:
    """Return an assessment's value as a number; None when it is none."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            value = float(word)
        except ValueError:
            return None
    if isinstance(value, (bool, int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _quoted(value: str) -> str:
    """Return ``value`` as a text of MLflow's filters, which know no escape.

    :raises EvidenceError: it holds both kinds of quotes.
    """
    for mark in ("'", '"'):
        if mark not in value:
            return f"{mark}{value}{mark}"
    raise EvidenceError(
        f"{value!r} holds both kinds of quotes: MLflow cannot be asked for its traces.",
        remedy="Name the traces with a filter of your own (trace_filter).",
    )
