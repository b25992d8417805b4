"""Drift: compare data with a reference, column by column, and make reference profiles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import DataReadError, DriftSettingsError
from airflow_ai_provider.core.quality.drift.columns import ColumnValues, NotOfKindError, Source
from airflow_ai_provider.core.quality.drift.compare import ColumnDrift, compare_columns
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.report import DriftResult, ReferenceSeen, SchemaChange
from airflow_ai_provider.core.quality.drift.settings import (
    ColumnSettings,
    DriftSettings,
    parse_settings,
)
from airflow_ai_provider.core.quality.profile import (
    ReferenceProfile,
    looks_like_profile,
    parse_profile,
    stored,
)
from airflow_ai_provider.core.quality.suite import Severity
from airflow_ai_provider.services.drift_sources import open_source
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import SqlSource

__all__ = ["DriftResult", "compare", "make_profile", "open_reference", "write_profile"]

_OPENING = 512  # bytes that tell a profile from data


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An open reference: its columns, and what to say of it."""

    source: Source
    seen: ReferenceSeen


def compare(
    data: str | os.PathLike[str] | SqlSource,
    reference: str | os.PathLike[str] | SqlSource,
    *,
    columns: Sequence[str] | Mapping[str, Any] | None = None,
    methods: Sequence[str] | None = None,
    thresholds: Mapping[str, Any] | None = None,
    fail_on: str | Severity = Severity.CRITICAL,
    dataset: str | None = None,
    partition: str | None = None,
    project: str | None = None,
    shown_as: str | None = None,
    reference_shown_as: str | None = None,
    memory_limit: str | None = None,
    time_limit: float = DEFAULT_TIME,
) -> DriftResult:
    """Compare ``data`` with ``reference``: paths, or tables; the reference may be a profile.

    ``columns``, ``methods`` and ``thresholds`` as in ``core.quality.drift.settings``. A column that
    is gone, or whose values are of another kind now, fails as critical. Between files the figures
    are exact; against a profile each carries the error that the profile leaves. A table (or query)
    is counted where it is: shares of bins and categories, and so PSI, Jensen-Shannon, chi-squared,
    new categories and missing rates, are those of the same rows in a file; Kolmogorov-Smirnov and
    Wasserstein carry an error. ``time_limit`` is in seconds, for each statement to a database.

    :raises DriftSettingsError: a setting means nothing, or names an unknown column.
    :raises DataReadError: data or reference is absent, cut short or malformed.
    """
    settings, limit = parse_settings(columns, methods, thresholds), Severity.of(fail_on)
    most: dict[str, Any] = {"memory_limit": memory_limit, "time_limit": time_limit}
    with (
        open_reference(reference, shown_as=reference_shown_as, **most) as held,
        open_source(data, shown_as=shown_as, **most) as opened,
    ):
        names = _compared(settings, held, opened.source)
        opened.source.look_ahead(names)
        found = tuple(
            compare_column(held.source, opened.source, name, settings.of(name)) for name in names
        )
        return DriftResult(
            columns=found,
            data=opened.seen,
            reference=held.seen,
            fail_on=limit,
            schema=SchemaChange.between(held.source.types, opened.source.types),
            dataset=dataset,
            partition=partition,
            project=project,
        )


def compare_column(
    reference: Source, now: Source, name: str, settings: ColumnSettings
) -> ColumnDrift:
    """Return how far column ``name`` of ``now`` is from that of ``reference``, which has it.

    :raises DriftSettingsError: the settings do not suit the column.
    """
    try:
        old = reference.column(name, settings.kind)
    except NotOfKindError as error:
        raise DriftSettingsError(
            f"Column {name} of the reference cannot be compared as {settings.kind}: {error}.",
            remedy="Leave its kind out, or make the profile again with this kind.",
        ) from None
    if name not in now.types:
        return ColumnDrift(column=name, kind=old.kind, problem="the column is gone")
    try:
        new = now.column(name, old.kind, like=old.values)
    except NotOfKindError as error:
        return ColumnDrift(column=name, kind=old.kind, problem=str(error))
    return compare_columns(old, new, settings)


def make_profile(
    data: str | os.PathLike[str] | SqlSource,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    shown_as: str | None = None,
    memory_limit: str | None = None,
    time_limit: float = DEFAULT_TIME,
) -> ReferenceProfile:
    """Return the profile of ``data`` (a path, or a table): of ``columns``, all unless said.

    ``categories`` are columns whose numbers are names (codes, grades) and are counted as such.

    :raises DriftSettingsError: ``columns`` means nothing, or names an unknown column.
    :raises DataReadError: the data is absent, cut short or malformed.
    """
    wanted = parse_settings(columns).columns
    opening = open_source(data, shown_as=shown_as, memory_limit=memory_limit, time_limit=time_limit)
    with opening as opened:
        source, seen = opened.source, opened.seen
        names = wanted or tuple(source.types)
        _need_known((*names, *categories), source, seen.path)
        source.look_ahead(names)
        found = tuple(
            stored(_profiled(source, name, Kind.CATEGORY if name in categories else None))
            for name in names
        )
        origin = {"path": seen.path, "digest": seen.digest, "size": seen.size}
        if seen.looked_at:
            origin |= {"looked_at": seen.looked_at, "query_digest": seen.query_digest}
        return ReferenceProfile(
            rows=source.rows,
            columns=found,
            source=origin,
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


def _profiled(source: Source, name: str, kind: Kind | None) -> ColumnValues:
    try:
        return source.column(name, kind)
    except NotOfKindError as error:
        raise DriftSettingsError(
            f"Column {name} cannot be profiled: {error}.", remedy="Name the other columns."
        ) from error


def write_profile(profile: ReferenceProfile, target: str | os.PathLike[str]) -> Path:
    """Write ``profile`` to ``target``, whole or not at all.

    :raises DataReadError: it cannot be written.
    """
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_text(profile.dumps(), encoding="utf-8")
    except OSError as error:
        raise DataReadError(
            f"Cannot write the profile {path}: {error.strerror or error}.",
            remedy="Check the path.",
        ) from error
    return path


@contextmanager
def open_reference(
    path: str | os.PathLike[str] | SqlSource,
    *,
    shown_as: str | None = None,
    memory_limit: str | None = None,
    time_limit: float = DEFAULT_TIME,
) -> Iterator[Reference]:
    """Open the reference at ``path``: a profile is told from data by how it begins.

    :raises DataReadError: it is absent, cut short or malformed, or the database was lost.
    """
    content = _profile_text(Path(path)) if isinstance(path, (str, os.PathLike)) else None
    if content is not None:
        shown = shown_as or os.fspath(path)  # type: ignore[arg-type]
        profile = parse_profile(content, shown)
        made_from = profile.source.get("digest")
        yield Reference(
            source=profile,
            seen=ReferenceSeen(
                path=shown,
                digest=hashlib.sha256(content).hexdigest(),
                rows=profile.rows,
                profile=True,
                made_from=None if made_from is None else str(made_from),
            ),
        )
        return
    opening = open_source(path, shown_as=shown_as, memory_limit=memory_limit, time_limit=time_limit)
    with opening as opened:
        data = opened.seen
        seen = ReferenceSeen(
            path=data.path,
            digest=data.digest or data.query_digest,
            rows=data.rows,
            looked_at=data.looked_at,
        )
        yield Reference(source=opened.source, seen=seen)


def _profile_text(path: Path) -> bytes | None:
    """Return the profile at ``path``; None when what is there is something else."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            if not looks_like_profile(stream.read(_OPENING)):
                return None
            stream.seek(0)
            return stream.read()
    except OSError as error:
        raise DataReadError(
            f"Cannot read the reference {path}: {error.strerror or error}.",
            remedy="Check its permissions.",
            path=str(path),
        ) from error


def _compared(settings: DriftSettings, held: Reference, now: Source) -> tuple[str, ...]:
    names = settings.columns or tuple(held.source.types)
    _need_known(names, held.source, held.seen.path)
    if not names:
        raise DriftSettingsError(
            f"The reference {held.seen.path} has no columns.", remedy="Give another reference."
        )
    return names


def _need_known(names: Sequence[str], source: Source, path: str) -> None:
    unknown = [name for name in names if name not in source.types]
    if unknown:
        raise DriftSettingsError(
            f"{path} has no column {unknown[0]!r}.",
            remedy=f"It has {', '.join(list(source.types)[:40])}.",
        )
