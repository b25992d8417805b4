"""Which files a user means by a path: the one that is named, or what is new in a folder or glob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_ai_provider.adapters.feedback_file_source import FileSource
from airflow_ai_provider.adapters.feedback_files import local_path
from airflow_ai_provider.adapters.feedback_folder import is_watched, new_files
from airflow_ai_provider.core.feedback.source import FeedbackSource
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_positions import read_positions


def local_sources(
    store: Store, paths: Sequence[str | Path], *, mapping: Mapping[str, str]
) -> list[FeedbackSource]:
    """Return the files at ``paths`` as sources, those of folders and globs only once.

    :raises FeedbackSourceError: a path is no local one.
    """
    found: list[FeedbackSource] = []
    for path in paths:
        local = local_path(str(path))
        if is_watched(str(local)):
            found += new_files(
                str(local), lambda names: read_positions(store, names), mapping=mapping
            )
        else:
            found.append(FileSource(local.resolve(), mapping=mapping))
    return found
