"""An approval: who is asked, what they are shown, and whether their answer holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import ApprovalError, EvidenceError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Origin, Verdict, digest, plain
from airflow_ai_provider.core.promotion.evidence import evidence_hash, parse_evidence

_LONGEST_COMMENT = 2000
_SHOWN_ROWS = 20
_LONGEST_CELL = 400


@dataclass(frozen=True, kw_only=True)
class ApprovalRequest:
    """What is put before people, bound to ``evidence_hash``.

    ``fingerprint`` covers all that is shown: the verdicts as well as the evidence.
    """

    subject: str
    evidence: Mapping[str, Any]
    evidence_hash: str
    fingerprint: str
    may_answer: tuple[str, ...]
    submitter: str | None
    project: str | None

    def body(self, text: str | None) -> str:
        """Return the form's text in Markdown: ``text``, what it is about, and the criteria."""
        shown = [text.strip()] if text else []
        shown.append("\n".join(self._facts()))
        if _is_verdict(self.evidence):
            shown.append("\n".join(_table(self.evidence["criteria"])))
        else:
            shown.extend("\n".join(lines) for lines in _described(self.evidence))
        return "\n\n".join(shown)

    def answered(
        self, event: Mapping[str, Any], *, asked: Any, yes: str, origin: Origin
    ) -> GateDraft:
        """Return the gate record's draft for an answer; ``asked`` is the fingerprint then shown.

        :raises ApprovalError: the answer does not hold.
        """
        if asked != self.fingerprint:
            raise ApprovalError(
                "The evidence changed since it was shown; the answer does not hold.",
                remedy="Clear the task to ask again.",
            )
        by = _responder(event.get("responded_by_user"))
        if by is None:
            raise ApprovalError("The answer names nobody who gave it; that is no approval.")
        if by == self.submitter:
            raise ApprovalError(
                f"{by} submitted {self.subject} and may not approve it.",
                remedy="Somebody else must answer.",
                submitter=by,
            )
        if by not in self.may_answer:
            raise ApprovalError(
                f"{by} is not among those asked.", remedy=f"Ask {', '.join(self.may_answer)}."
            )
        chosen = event.get("chosen_options") or []
        approved = list(chosen) == [yes]
        return GateDraft(
            kind=GateKind.APPROVAL,
            subject=self.subject,
            verdict=Verdict.PASS if approved else Verdict.FAIL,
            evidence={
                "evidence_hash": self.evidence_hash,
                "decision": self.evidence.get("record"),
                "submitter": self.submitter,
                "asked": list(self.may_answer),
                "comment": _comment(event.get("params_input")),
                "responded_at": event.get("responded_at"),
                "project": self.project,
            },
            decided_by=by,
            origin=origin,
        )

    def _facts(self) -> list[str]:
        found = {
            "Subject": self.subject,
            "Candidate": self.evidence.get("candidate"),
            "Verdict": self.evidence.get("verdict"),
            "Gate record": self.evidence.get("record"),
            "Submitted by": self.submitter,
            "Evidence": self.evidence_hash,
        }
        return [f"- **{name}:** `{_code(value)}`" for name, value in found.items() if value]


def approval_request(
    evidence: Any,
    *,
    assigned_users: Any,
    submitter: str | None,
    project: str | None,
    otherwise: str,
) -> ApprovalRequest:
    """Return the request for approval of ``evidence``: a model gate's result, or any dict.

    ``otherwise`` is the subject of evidence that names none. Whoever submitted is not asked.

    :raises EvidenceError: it is no dict, or its own hash does not fit.
    :raises ApprovalError: nobody is left to ask.
    """
    if not isinstance(evidence, Mapping):
        raise EvidenceError(
            f"What is to be approved must be a dict, not {type(evidence).__name__}.",
            remedy="Pass the result of the model gate.",
        )
    bound = evidence_hash(evidence)
    said = evidence.get("evidence_hash")
    if said is not None and said != bound:
        raise EvidenceError(
            f"The evidence does not fit its own hash: it says {str(said)[:12]}, not {bound[:12]}.",
            remedy="Judge again; what was judged was changed on the way.",
        )
    asked = tuple(name for name in user_names(assigned_users) if name != submitter)
    if not asked:
        raise ApprovalError(
            "Nobody may answer: no user is assigned"
            + (f" but {submitter}, who submitted it." if submitter else "."),
            remedy="Name users in assigned_users who did not submit it.",
        )
    return ApprovalRequest(
        subject=_subject(evidence, otherwise),
        evidence=evidence,
        evidence_hash=bound,
        fingerprint=digest(evidence),
        may_answer=asked,
        submitter=submitter or None,
        project=project,
    )


def user_names(value: Any) -> tuple[str, ...]:
    """Return the user names in ``value``: one, several, or Airflow's ``{"id", "name"}``.

    :raises ApprovalError: it is something else.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Mapping):
        value = [value]
    names = []
    for item in value:
        name = item.get("id") if isinstance(item, Mapping) else item
        if not isinstance(name, str):
            raise ApprovalError(f"{item!r} in assigned_users is no user name.")
        if name.strip():
            names.append(name.strip())
    return tuple(dict.fromkeys(names))


def _subject(evidence: Mapping[str, Any], otherwise: str) -> str:
    if isinstance(subject := evidence.get("subject"), str):
        return subject
    inner = evidence.get("evidence")
    about = inner if "evidence_hash" in evidence and isinstance(inner, Mapping) else evidence
    return parse_evidence(about).subject if about.get("model_name") else otherwise


def _responder(user: Any) -> str | None:
    found = user.get("id") if isinstance(user, Mapping) else getattr(user, "id", None)
    return str(found) if found else None


def _comment(params: Any) -> str | None:
    found = params.get("comment") if isinstance(params, Mapping) else None
    if found is None or found == "":
        return None
    if not isinstance(found, str) or len(found) > _LONGEST_COMMENT:
        raise ApprovalError(
            f"The comment must be a text of at most {_LONGEST_COMMENT} characters.",
            remedy="Clear the task to ask again.",
        )
    return found


def _table(criteria: Sequence[Any]) -> list[str]:
    lines = ["| criterion | limit | observed | verdict | why |", "|---|---|---|---|---|"]
    for item in criteria:
        cells = (item.get(n) for n in ("name", "limit", "observed", "verdict", "sentence"))
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return lines


def _is_verdict(value: Any) -> bool:
    criteria = value.get("criteria") if isinstance(value, Mapping) else None
    return isinstance(criteria, list) and all(isinstance(c, Mapping) for c in criteria)


def _described(evidence: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield a table for each verdict in a dict, and one of what else it holds."""
    rest = {}
    for name, value in evidence.items():
        if isinstance(value, list) and value and all(map(_is_verdict, value)):
            for verdict in value:
                yield [_title(verdict), "", *_table(verdict["criteria"])]
        else:
            rest[name] = value
    if rest:
        yield _pairs(rest)


def _title(verdict: Mapping[str, Any]) -> str:
    named = (verdict.get(key) for key in ("model_name", "candidate", "verdict"))
    return "#### " + ", ".join(_cell(part) for part in named if part)


def _pairs(evidence: Mapping[str, Any]) -> list[str]:
    lines = ["| what | value |", "|---|---|"]
    shown = list(evidence.items())[:_SHOWN_ROWS]
    return [*lines, *(f"| {_cell(name)} | {_cell(value)} |" for name, value in shown)]


def _cell(value: Any) -> str:
    """Return a value as a table's cell: Markdown and HTML in it are text, and end nothing."""
    text = _line(value)
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text


def _code(value: Any) -> str:
    """Return a value as it stands between backticks, where nothing can be escaped."""
    return _line(value).replace("`", "'")


def _line(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.4g}"
    text = "" if value is None else str(plain(value))
    text = text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]} ..."
    return " ".join(text.split())
