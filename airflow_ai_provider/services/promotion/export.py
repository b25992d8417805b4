"""A model's history as a file: JSON Lines or CSV, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import PromotionError

COLUMNS = ("environment", "version", "from", "to", "by", "why", "record")


def export_history(intervals: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write ``intervals`` to ``path``; its ending says how.

    :raises PromotionError: the ending is neither ``.jsonl`` nor ``.csv``, or nothing can be written
        there.
    """
    makers = {".jsonl": _json_lines, ".csv": _csv}
    make = makers.get(path.suffix.lower())
    if make is None:
        raise PromotionError(
            f"{path.name} is no file that a history can be written to.",
            remedy="Name a file that ends in .jsonl or .csv.",
        )
    text = make([{column: i[column] for column in COLUMNS} for i in intervals])
    try:
        with whole_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise PromotionError(
            f"The history cannot be written to {path}: {error.strerror or error}.",
            remedy="Name a file in a folder that this user may write to.",
        ) from error


def _json_lines(intervals: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(i, ensure_ascii=False) + "\n" for i in intervals)


def _csv(intervals: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(intervals)
    return stream.getvalue()
