"""The sponsor's report as files: a page that needs nothing else, and Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import ProjectReportError
from airflow_ai_provider.core.lifecycle.page.html import report_html
from airflow_ai_provider.core.lifecycle.page.markdown import report_markdown


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was written: where its files are, and its Markdown for a message."""

    html: Path | None
    markdown: Path | None
    text: str


def write_report(
    project: Mapping[str, Any],
    *,
    html: str | os.PathLike[str] | None = None,
    markdown: str | os.PathLike[str] | None = None,
) -> Report:
    """Write the report of ``project``, as ``project_view.project`` gives it, where it is wanted.

    Each file is put in its place whole or not at all.

    :raises ProjectReportError: a file cannot be written.
    """
    text = report_markdown(project)
    return Report(
        html=_put(html, report_html(project)) if html else None,
        markdown=_put(markdown, text) if markdown else None,
        text=text,
    )


def _put(target: str | os.PathLike[str], content: str) -> Path:
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content.encode("utf-8", "replace"))  # half a surrogate pair
    except OSError as error:
        raise ProjectReportError(
            f"The report {path} cannot be written: {error.strerror or error}.",
            remedy="Check the path.",
        ) from error
    return path
