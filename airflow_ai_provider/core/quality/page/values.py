"""What stands on the page about one decision, and how it is kept: small, whatever the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_ai_provider.core.quality.page.pictures import Picture, as_json, from_json

MOST_BYTES = 256 * 1024
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One expectation, or one column's drift: what was expected, what was seen.

    ``samples`` are failing values as text.
    """

    label: str
    verdict: str
    sentence: str
    about: str = ""
    severity: str = ""
    expected: str = ""
    unexpected: int | None = None
    percent: float | None = None
    engine: str = ""
    samples: tuple[str, ...] = ()
    picture: Picture | None = None

    @property
    def failed(self) -> bool:
        """Whether it was not met, whatever that meant."""
        return self.verdict != "pass"


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """One decision; ``facts`` are named values about data, suite and what was kept apart."""

    title: str
    subject: str
    verdict: str
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Finding, ...]:
        """What was not met, the worst first."""
        rank = {"critical": 0, "warning": 1, "info": 2}
        found = [f for f in self.findings if f.failed]
        return tuple(sorted(found, key=lambda f: (f.verdict != "fail", rank.get(f.severity, 3))))

    @property
    def score(self) -> float | None:
        """The share of expectations met; None of none."""
        count = len(self.findings)
        return sum(not f.failed for f in self.findings) / count if count else None


def as_kept(page: ReportPage, most: int = MOST_BYTES) -> dict[str, Any]:
    """Return ``page`` as JSON of at most ``most`` bytes.

    What is too much is left out and said to be: first samples, then pictures, then what was met,
    then the last failures.
    """
    for smaller in (_whole, _without_samples, _without_pictures, _failures_only, _few):
        found = smaller(page)
        if len(json.dumps(found)) <= most:
            return found
    return _document(replace(page, findings=(), notes=("The report was too large to keep.",)))


def from_kept(kept: Mapping[str, Any]) -> ReportPage | None:
    """Return the page that was kept; None when another version of ours wrote it."""
    if kept.get("version") != _VERSION:
        return None
    findings = [
        Finding(
            **{
                **entry,
                "samples": tuple(entry.get("samples", ())),
                "picture": from_json(entry.get("picture")),
            }
        )
        for entry in kept["findings"]
    ]
    return ReportPage(
        title=kept["title"],
        subject=kept["subject"],
        verdict=kept["verdict"],
        facts=tuple((str(name), str(value)) for name, value in kept["facts"]),
        findings=tuple(findings),
        notes=tuple(kept["notes"]),
    )


def _whole(page: ReportPage) -> dict[str, Any]:
    return _document(page)


def _without_samples(page: ReportPage) -> dict[str, Any]:
    found = tuple(replace(f, samples=()) for f in page.findings)
    return _document(_noted(page, found, "Samples of failing values were left out: too many."))


def _without_pictures(page: ReportPage) -> dict[str, Any]:
    found = tuple(replace(f, samples=(), picture=None) for f in page.findings)
    return _document(_noted(page, found, "Samples and pictures were left out: too many."))


def _failures_only(page: ReportPage) -> dict[str, Any]:
    return _few(page, most=len(page.failed))


def _few(page: ReportPage, most: int = 200) -> dict[str, Any]:
    found = tuple(replace(f, samples=(), picture=None) for f in page.failed[:most])
    left = len(page.findings) - len(found)
    return _document(_noted(page, found, f"{left} of {len(page.findings)} lines were left out."))


def _noted(page: ReportPage, findings: tuple[Finding, ...], note: str) -> ReportPage:
    return replace(page, findings=findings, notes=(*page.notes, note))


def _document(page: ReportPage) -> dict[str, Any]:
    findings = [
        {
            **{k: v for k, v in vars(finding).items() if v is not None and k != "picture"},
            "samples": list(finding.samples),
            "picture": as_json(finding.picture) if finding.picture else None,
        }
        for finding in page.findings
    ]
    return {**asdict(replace(page, findings=())), "version": _VERSION, "findings": findings}
