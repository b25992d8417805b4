"""Exactly which files a gate saw, so that the same data can be found again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.quality.result import DataSeen


def seen_of(
    source: Any,
    rows: int,
    shown_as: str | None,
    version: str | None,
    versions: Mapping[str, str],
) -> DataSeen:
    """Say exactly which files, or which frame, were seen.

    ``shown_as`` is the address of what was copied here, ``version`` and ``versions`` (of several
    files, by their names) what its store said of it.
    """
    if source.format == "frame":
        return DataSeen(
            path=shown_as or source.path, rows=rows, digest=source.digest(), kind="frame"
        )
    own = shown_as in {None, source.path}  # a copy's time says nothing
    newest = max(changed for _, changed in source.stamps) / 1e9
    path = shown_as or source.path
    return DataSeen(
        path=path if "://" in path else str(Path(path).absolute()),
        size=source.size,
        digest=source.digest,
        parts=_parts(source, versions) if len(source.files) > 1 else (),
        rows=rows,
        files=len(source.files),
        version=version,
        modified=datetime.fromtimestamp(newest, timezone.utc).isoformat() if own else None,
    )


def _parts(source: Any, versions: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """Return name (below the folder, if it is one), size, digest and version of each file."""
    folder = Path(source.path)
    below = folder.is_dir()
    names = [str(f.relative_to(folder) if below else f.absolute()) for f in source.files]
    each = zip(names, source.stamps, source.digests, strict=True)
    return tuple(
        {"name": name, "size": size, "digest": digest}
        | ({"version": versions[name]} if name in versions else {})
        for name, (size, _), digest in each
    )
