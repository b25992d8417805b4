"""The form in which a task asks a person about several cases at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.errors import ExceptionReviewError
from airflow_ai_provider.core.feedback.exceptions import Answer, Case

COMMENT = "comment"
_MOST_SHOWN = 300  # characters of a fact


def field_of(case: Case) -> str:
    """Return the name of the case's field in the form."""
    return f"case_{case.id[:16]}"


def schema_of(case: Case, number: int) -> dict[str, Any]:
    """Return the JSON schema of the case's field; empty means that the person cannot tell."""
    title = f"Case {number}: {case.prediction_id}"
    if case.score:
        return {"type": ["null", "number"], "minimum": 1, "maximum": 5, "title": title}
    if case.labels:
        return {"type": ["null", "string"], "enum": [None, *case.labels], "title": title}
    return {"type": ["null", "string"], "title": title}


def body_of(cases: Sequence[Case]) -> str:
    """Return what the person sees of the cases, as a Markdown table."""
    names = list(dict.fromkeys(name for case in cases for name in case.facts))
    head = ["", "prediction", "why", *names]
    lines = [_row(head), _row(["---"] * len(head))]
    for number, case in enumerate(cases, 1):
        why = ", ".join(reason.replace("_", " ") for reason in case.reasons)
        facts = [case.facts.get(name, "") for name in names]
        lines.append(_row([number, case.prediction_id, why, *facts]))
    return "\n".join(lines)


def answer_of(case: Case, form: Mapping[str, Any]) -> Answer | None:
    """Return what the filled form says of a case; None when the person cannot tell.

    :raises ExceptionReviewError: it says what was not offered.
    """
    said = form.get(field_of(case))
    if said is None or said == "":
        return None
    comment = form.get(COMMENT) or None
    if case.score:
        try:
            return Answer(score=float(said), comment=comment)
        except (TypeError, ValueError):
            raise ExceptionReviewError(
                f"{said!r} is no score.", remedy="Write a number from 1 to 5."
            ) from None
    if not case.labels:
        return Answer(label=said, comment=comment)
    if said not in case.labels:
        raise ExceptionReviewError(
            f"{said!r} is no answer to case {case.id}.",
            remedy=f"Choose one of {', '.join(case.labels)}.",
        )
    return Answer(label=case.labels[said], comment=comment)


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: Any) -> str:
    # what the data says must not become markup, a link or another column
    text = str(value)[:_MOST_SHOWN]
    for mark in "\\`*_{}[]<>|#!":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
