"""The page about a data gate as a file of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.page.build import quality_page
from airflow_ai_provider.core.quality.page.render import report_html

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.result import QualityResult


def write_page(result: QualityResult, target: str | os.PathLike[str]) -> Path:
    """Write the page about ``result`` to ``target``, whole or not at all.

    It is one file that loads nothing. It shows values of rows.

    :raises QualityError: it cannot be written.
    """
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_text(report_html(quality_page(result)), encoding="utf-8")
    except OSError as error:
        raise QualityError(
            f"Cannot write the report {path}: {error.strerror or error}.",
            remedy="Check the path.",
        ) from error
    return path
