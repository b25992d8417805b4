"""Reading an expectation suite as users have it: 1.x JSON, 0.18 JSON, or the same as a dict."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from airflow_ai_provider.core.errors import QualityError, SuiteError
from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.core.quality.arguments import wrong_argument
from airflow_ai_provider.core.quality.catalogue import CATALOGUE, COMMON, PARSED, PARSING
from airflow_ai_provider.core.quality.own import OWN, wrong_own_argument

MOST_EXPECTATIONS = 5_000
_PARAMETER = "$PARAMETER"


class Severity(str, Enum):
    """How much it matters that an expectation fails; Great Expectations' own words."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @classmethod
    def of(cls, said: str | Severity) -> Severity:
        """Return the severity that somebody named.

        :raises QualityError: there is none of that name.
        """
        try:
            return cls(said)
        except ValueError:
            raise QualityError(
                f"There is no severity {said!r}.", remedy="Use critical, warning or info."
            ) from None

    @property
    def rank(self) -> int:
        """The higher the worse."""
        return {"info": 0, "warning": 1, "critical": 2}[self.value]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One expectation of a suite; ``index`` is its place there, from 0."""

    index: int
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity = Severity.CRITICAL
    id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None
    suite: str | None = None  # whose it is, where several suites are one

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        found = [self.kwargs[k] for k in ("column", "column_A", "column_B") if k in self.kwargs]
        listed = self.kwargs.get("column_list") if "table" not in self.type else None
        return tuple(str(name) for name in [*found, *(listed or [])])

    @property
    def label(self) -> str:
        """Its type and columns: ``expect_column_values_to_not_be_null(dest)``."""
        return f"{self.type}({', '.join(self.columns)})"

    def config(self) -> dict[str, Any]:
        """Return it as Great Expectations 1.x writes it."""
        found: dict[str, Any] = {
            "type": self.type,
            "kwargs": dict(self.kwargs),
            "meta": dict(self.meta),
            "severity": self.severity.value,
        }
        if self.id:
            found["id"] = self.id
        if self.description:
            found["description"] = self.description
        return found


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named list of expectations, its parameters filled in."""

    name: str
    expectations: tuple[Expectation, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over name and expectations: the same suite has the same digest."""
        return digest([self.name, [e.config() for e in self.expectations]])

    def error(
        self, expectation: Expectation, problem: str, remedy: str | None = None
    ) -> SuiteError:
        """Return the error that names suite, expectation, columns and ``problem``."""
        return _error(
            expectation.suite or self.name, expectation.index, expectation.label, problem, remedy
        )


def merged(suites: Sequence[Suite]) -> Suite:
    """Return several suites as one; each expectation says whose it is."""
    if len(suites) == 1:
        return suites[0]
    listed = [replace(e, suite=s.name) for s in suites for e in s.expectations]
    return Suite(
        name=" + ".join(s.name for s in suites),
        expectations=tuple(replace(e, index=i) for i, e in enumerate(listed)),
        meta={s.name: dict(s.meta) for s in suites},
        parameters={k: v for s in suites for k, v in s.parameters.items()},
    )


def parse_suite(
    source: Mapping[str, Any] | str | bytes,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Suite:
    """Return the suite that ``source`` means: JSON text, or the same as a mapping.

    ``parameters`` fill in ``{"$PARAMETER": "name"}``, as in Great Expectations 1.x and 0.18 (whose
    expressions are not evaluated: they are an error that names them). ``name`` names a suite that
    carries no name of its own.

    :raises SuiteError: it cannot be read, or one of its expectations means nothing.
    """
    document = _document(source, name or "suite")
    own = document.get("name") or document.get("expectation_suite_name") or name or "suite"
    listed = document.get("expectations")
    if not isinstance(listed, list):
        raise SuiteError(
            f"Suite {own} has no list of expectations.",
            remedy='Write {"name": "...", "expectations": [{"type": "...", "kwargs": {}}]}.',
            suite=own,
        )
    if len(listed) > MOST_EXPECTATIONS:
        raise SuiteError(
            f"Suite {own} has {len(listed)} expectations; {MOST_EXPECTATIONS} are allowed.",
            remedy="Split it into several suites.",
            suite=own,
        )
    written = document.get("suite_parameters") or document.get("evaluation_parameters") or {}
    given = {**written, **(parameters or {})}
    return Suite(
        name=str(own),
        expectations=tuple(_expectation(str(own), i, e, given) for i, e in enumerate(listed)),
        meta=document.get("meta") or {},
        parameters=given,
    )


def _document(source: Mapping[str, Any] | str | bytes, name: str) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        parsed = json.loads(source)
    except ValueError as error:
        raise SuiteError(
            f"Suite {name} is no valid JSON: {error}.", remedy="Correct it.", suite=name
        ) from error
    if not isinstance(parsed, Mapping):
        raise SuiteError(
            f"Suite {name} is a JSON {type(parsed).__name__}, not an object.",
            remedy='Write {"name": "...", "expectations": [...]}.',
            suite=name,
        )
    return parsed


def _expectation(suite: str, index: int, entry: Any, parameters: Mapping[str, Any]) -> Expectation:
    if not isinstance(entry, Mapping):
        raise _error(suite, index, "?", "is not an object", 'Write {"type", "kwargs"}.')
    kind = entry.get("type") or entry.get("expectation_type")
    if not isinstance(kind, str):
        raise _error(suite, index, "?", "names no type", 'Write "type": "expect_...".')
    kwargs, meta = entry.get("kwargs") or {}, entry.get("meta") or {}
    for name, value in (("kwargs", kwargs), ("meta", meta)):
        if not isinstance(value, Mapping):
            raise _error(suite, index, kind, f"has {name} that are not an object", "Correct them.")
    filled = {
        key: _filled(suite, index, kind, value, parameters)
        for key, value in kwargs.items()
        if key not in COMMON
    }
    filled = {k: v for k, v in filled.items() if v is not None or _required(kind, k)}
    if filled.get(PARSED) is False:  # 0.18 wrote its default
        del filled[PARSED]
    problem = _wrong(kind, filled)
    if problem:
        raise _error(suite, index, _labelled(kind, filled), *problem)
    return Expectation(
        index=index,
        type=kind,
        kwargs=filled,
        severity=_severity(suite, index, kind, entry),
        id=entry.get("id"),
        meta=meta,
        description=entry.get("description"),
    )


def _filled(suite: str, index: int, kind: str, value: Any, parameters: Mapping[str, Any]) -> Any:
    if not (isinstance(value, Mapping) and _PARAMETER in value):
        return value
    wanted = value[_PARAMETER]
    if isinstance(wanted, str) and wanted not in parameters:
        with suppress(KeyError):  # 0.18 keeps a value beside the name, for want of another
            return value[f"{_PARAMETER}.{wanted}"]
    if not isinstance(wanted, str) or wanted not in parameters:
        raise _error(
            suite,
            index,
            kind,
            f"needs the parameter {wanted!r}, which was not given",
            f"Pass suite_parameters={{{wanted!r}: ...}}.",
        )
    return parameters[wanted]


def _severity(suite: str, index: int, kind: str, entry: Mapping[str, Any]) -> Severity:
    """Return what it says; 0.18 suites keep it under ``meta``; critical unless said."""
    said = entry.get("severity") or (entry.get("meta") or {}).get("severity") or "critical"
    try:
        return Severity(str(getattr(said, "value", said)).lower())
    except ValueError:
        raise _error(
            suite, index, kind, f"has the severity {said!r}", "Use critical, warning or info."
        ) from None


def _wrong(kind: str, kwargs: Mapping[str, Any]) -> tuple[str, str] | None:
    signature = CATALOGUE.get(kind) or OWN.get(kind)
    if signature is None:  # a custom expectation, or a slip: Great Expectations knows
        return None
    for name in signature.required:
        if name not in kwargs:
            return f"lacks the argument {name!r}", f"It takes {', '.join(signature.names)}."
    for name in kwargs:
        if name not in signature.names and not (name == PARSED and kind in PARSING):
            return (
                f"does not take the argument {name!r}",
                _meant(name, signature.names) or f"It takes {', '.join(signature.names)}.",
            )
    return wrong_argument(kind, kwargs) or wrong_own_argument(kind, kwargs)


def _required(kind: str, name: str) -> bool:
    signature = CATALOGUE.get(kind) or OWN.get(kind)
    return signature is not None and name in signature.required


def suggestion(kind: str) -> str | None:
    """Return the sentence that names the expectation that ``kind`` may have meant."""
    return _meant(kind, [*CATALOGUE, *OWN])


def _meant(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"Did you mean {close[0]!r}?" if close else None


def _labelled(kind: str, kwargs: Mapping[str, Any]) -> str:
    column = kwargs.get("column")
    return f"{kind}({column})" if isinstance(column, str) else kind


def _error(
    suite: str, index: int, label: str, problem: str, remedy: str | None = None
) -> SuiteError:
    return SuiteError(
        f"Suite {suite}, expectation {index + 1}, {label}: it {problem}.",
        remedy=remedy,
        suite=suite,
        expectation=label,
        index=index,
    )
