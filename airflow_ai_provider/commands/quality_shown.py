"""What ``airflow-ai quality check`` shows a person: what failed, why, and what to do next."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands.output import standard_output, table
from airflow_ai_provider.core.quality.values import json_safe

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.report import ExpectationResult
    from airflow_ai_provider.services.quality import QualityResult

MOST_MET = 60  # with more, those that were met are only counted
_EXAMPLES = 3
_LONGEST = 60
_COLOURS = {"met": "32", "FAILED": "31;1", "warned": "33"}
_COLUMNS = ("column", "column_A", "column_B", "column_list")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How it is shown: in colours or not, and how wide a line may be (None: as long as it is)."""

    colour: bool = False
    width: int | None = None

    @classmethod
    def of_standard_output(cls) -> Look:
        """Return the look for a terminal, or for a file or pipe: there nothing is cut or coloured.

        ``NO_COLOR`` (no-color.org) and ``TERM=dumb`` are heeded.
        """
        if not standard_output().isatty():
            return cls()
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(colour=not plain, width=shutil.get_terminal_size().columns)

    def line(self, text: str) -> str:
        """Return ``text`` cut to the width, its first word in its colour."""
        if self.width and len(text) > self.width:
            text = text[: self.width - 1] + "…"
        word = text.split(" ", 1)[0]
        if not self.colour or word not in _COLOURS:
            return text
        return f"\033[{_COLOURS[word]}m{word}\033[0m{text[len(word) :]}"


def shown(
    result: QualityResult, *, suite: str, look: Look, page: str | None = None
) -> Iterator[str]:
    """Yield the lines: what was looked at, expectation by expectation, and what to do next."""
    report, seen = result.report, result.data
    known = f", sha256 {seen.digest[:12]}" if seen.digest else ""
    yield f"{seen.path}: {seen.rows:,} rows{known}"
    yield f"suite {report.suite.name}: {result.verdict.value}"
    yield ""
    listed = report.results if len(report.results) <= MOST_MET else report.failed
    if listed:
        for line in table([_row(result, r) for r in listed], _HEADER):
            yield look.line(line)
    if len(listed) < len(report.results):
        yield f"{len(report.results) - len(listed):,} more were met; --json lists them."
    yield from _left_to_the_reference(report.results)
    yield ""
    yield from _summary(result)
    if result.saw_nothing:
        yield str(result.error()).replace("allow_empty=True", "--allow-empty")
    else:
        yield from _next(result, suite)
    if page:
        yield f"The page with pictures is {page}"


_HEADER = ("", "severity", "expectation", "column", "seen", "expected", "examples")


def _row(result: QualityResult, one: ExpectationResult) -> tuple[str, ...]:
    e = one.expectation
    return (
        _state(result, one),
        e.severity.value,
        e.type.removeprefix("expect_"),
        ", ".join(e.columns),
        one.sentence().removesuffix("."),
        _limits(e.kwargs) if not one.success else "",
        _examples(one.result) if not one.success else "",
    )


def _state(result: QualityResult, one: ExpectationResult) -> str:
    if one.success:
        return "met"
    return "FAILED" if one.expectation.severity.rank >= result.fail_on.rank else "warned"


def _limits(kwargs: Mapping[str, Any]) -> str:
    return _short(
        ", ".join(
            f"{name} {_written(value)}" for name, value in kwargs.items() if name not in _COLUMNS
        )
    )


def _examples(found: Mapping[str, Any]) -> str:
    values = [v for v in found.get("partial_unexpected_list") or () if v is not None]
    different = dict.fromkeys(_written(v) for v in values)
    return _short(", ".join(list(different)[:_EXAMPLES]))


def _written(value: Any) -> str:
    return json.dumps(json_safe(value), ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _left_to_the_reference(results: Sequence[ExpectationResult]) -> Iterator[str]:
    left = [r for r in results if r.reason]
    if left:
        yield ""
        yield "Left to Great Expectations:"
        for r in left[:MOST_MET]:
            yield f"  {r.expectation.label}: {r.reason}"


def _summary(result: QualityResult) -> Iterator[str]:
    report = result.report
    met = sum(r.success for r in report.results)
    failed = Counter(r.expectation.severity.value for r in report.failed)
    counted = ", ".join(f"{failed[s]} {s}" for s in ("critical", "warning", "info") if failed[s])
    text = f"{met} of {len(report.results)} expectations were met"
    yield f"{text}; not met: {counted}." if counted else f"{text}."
    if result.quarantine:
        kept = result.quarantine
        yield f"{kept.rows:,} failing rows are in {kept.path}."


def _next(result: QualityResult, suite: str) -> Iterator[str]:
    """Say what to do about what failed."""
    failed = result.report.failed
    if not failed:
        return
    yield ""
    yield "What next:"
    rows = any(r.result.get("unexpected_count") and "element_count" in r.result for r in failed)
    if rows and not result.quarantine:
        yield "  see the failing rows: again with --quarantine FILE.parquet"
    if not result.success:
        yield "  if the data is wrong: ask for a corrected delivery"
        yield f'  if the data is right: edit {suite} (limits, "mostly", or "severity": "warning")'
    else:
        yield f"  it passes, for only {result.fail_on.value} refuses: --fail-on says from where"
