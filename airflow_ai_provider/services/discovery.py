"""What a machine finds out for the milestones of discovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters import inventory
from airflow_ai_provider.adapters.profile import Profile, Sample, profile, write_sample
from airflow_ai_provider.core.errors import DataReadError, QualityError
from airflow_ai_provider.core.lifecycle.milestones import milestone
from airflow_ai_provider.core.lifecycle.project import DataSource, Project
from airflow_ai_provider.services.personal_data import scan
from airflow_ai_provider.services.project_file import places

_PLATFORM = ("airflow-ai-provider", "apache-airflow", "mlflow", "duckdb", "sqlalchemy")


Address = Callable[[str], str]
"""The database URL behind the id of an Airflow connection."""


def measure(
    project: Project,
    name: str,
    *,
    static_devices: str = "",
    store: str = "sqlite",
    address: Address | None = None,
) -> dict[str, Any]:
    """Return what a machine finds out for milestone ``name``, by deliverable.

    A value whose ``problems`` is not empty says why its deliverable is not there.
    ``static_devices`` is the setting of that name; ``store`` the kind of our database; ``address``
    turns a source's ``conn_id`` into a database URL.
    """
    definition = milestone(name)
    measurers: dict[str, Callable[[], dict[str, Any]]] = {
        "data_landscape": lambda: data_landscape(project, address),
        "process_and_technology": lambda: technology(project, static_devices),
        "business_use_cases": lambda: {"priorities": priorities(project)},
        "ai_strategy": lambda: {"platform_architecture": platform(store)},
    }
    return measurers[definition.name]() if definition.measured else {}


def data_landscape(project: Project, address: Address | None = None) -> dict[str, Any]:
    """Profile every data source that can be reached, and fetch a sample of each.

    Every row is searched for personal data; what is found is told by column, kind and mask.
    """
    needed = {use_case.data_source for use_case in project.pilots}
    formats, quality, types, samples, personal, problems = [], [], [], [], [], []
    for source in project.data_sources:
        try:
            found, sample = _look(project, source, address)
        except DataReadError as error:
            quality.append({"name": source.name, "reachable": False, "reason": error.message})
            if source.name in needed:
                problems.append(str(error))
            continue
        formats.append(_format(source, found))
        quality.append(_quality(source, found))
        personal += _personal_data(source, address)
        types.append({"name": source.name, "columns": {c.name: c.type for c in found.columns}})
        samples.append(
            {"name": source.name, "path": sample.path, "rows": sample.rows, "digest": sample.digest}
        )
    return {
        "sources_and_formats": {"sources": formats, "problems": problems},
        "availability_and_quality": {
            "sources": quality,
            "personal_data": personal,
            "problems": problems,
        },
        "types_and_structure": {"sources": types, "problems": problems},
        "curated_data_sets": {"samples": samples, "problems": problems},
    }


def technology(project: Project, static_devices: str) -> dict[str, Any]:
    """Take stock of tools and devices, and say what the use cases lack."""
    tools = [_tool(tool.name, tool.version) for tool in project.technology.tools]
    static, driver = inventory.static_devices(static_devices), inventory.driver_devices()
    needed, found = project.technology.gpus, len(static) + len(driver)
    gaps = [tool["name"] for tool in tools if not tool["met"]]
    gaps += ["devices"] if found < needed else []
    return {
        "ai_infrastructure": {
            **inventory.machine(),
            "airflow": inventory.version_of("apache-airflow"),
            "gpus": driver,
            "static_devices": static,
        },
        "gap_analysis": {
            "tools": tools,
            "devices": {"needed": needed, "found": found, "met": found >= needed},
            "gaps": gaps,
            "use_cases": _gaps_by_use_case(project, gaps),
        },
    }


def _gaps_by_use_case(project: Project, gaps: Sequence[str]) -> list[dict[str, Any]]:
    """Return, of each use case, what it cannot do without and is not there."""
    return [
        {
            "name": use_case.name,
            "pilot": use_case.pilot,
            "lacks": [tool for tool in use_case.needs if tool in gaps],
        }
        for use_case in project.prioritised
    ]


def priorities(project: Project) -> dict[str, Any]:
    """Order the use cases by value times feasibility."""
    return {
        "use_cases": [
            {
                "name": use_case.name,
                "value": use_case.value,
                "feasibility": use_case.feasibility,
                "score": use_case.value * use_case.feasibility,
                "pilot": use_case.pilot,
            }
            for use_case in project.prioritised
        ]
    }


def platform(store: str) -> dict[str, Any]:
    """Name the elements that the platform is made of."""
    return {
        "elements": {name: inventory.version_of(name) for name in _PLATFORM},
        "store": store,
    }


def _look(project: Project, source: DataSource, address: Address | None) -> tuple[Profile, Sample]:
    """Profile a source and fetch a sample of it.

    :raises DataReadError: it cannot be reached.
    """
    if source.table:
        from airflow_ai_provider.adapters.profile_table import profile_table, sample_table

        url, place = _url(source, address), _sample_place(project, source, "jsonl")
        return profile_table(url, source.table), sample_table(url, source.table, place)
    if not source.location:
        raise DataReadError(
            f"The data source {source.name} has no location.",
            remedy="Give data_sources.location, or conn_id and table.",
        )
    place = _sample_place(project, source, "parquet")
    return profile(source.location), write_sample(source.location, place)


def _url(source: DataSource, address: Address | None) -> str:
    if address is None or source.conn_id is None:
        raise DataReadError(
            f"The connection {source.conn_id} of {source.name} is known inside Airflow only.",
            remedy="Measure it in the discovery DAG.",
        )
    return address(source.conn_id)


def _sample_place(project: Project, source: DataSource, kind: str) -> str:
    if source.sample:
        return source.sample
    home = Path(places(Path())["home"])
    return str(home / "data" / "samples" / project.name / f"{source.name}.{kind}")


def _format(source: DataSource, found: Profile) -> dict[str, Any]:
    return {
        "name": source.name,
        "format": found.format,
        "structured": source.structured,
        "own": source.own,
        "files": found.files,
        "bytes": found.bytes,
    }


def _quality(source: DataSource, found: Profile) -> dict[str, Any]:
    absent: Mapping[str, float] = {
        column.name: round(100 * column.nulls / found.rows, 2)
        for column in found.columns
        if found.rows and column.nulls
    }
    return {
        "name": source.name,
        "reachable": True,
        "rows": found.rows,
        "columns": len(found.columns),
        "absent_percent": absent,
        "delivered_at": found.delivered_at,
        "newest": {c.name: c.newest for c in found.columns if c.newest is not None},
    }


def _personal_data(source: DataSource, address: Address | None) -> list[dict[str, Any]]:
    """Return what ``source`` holds of personal data; where nobody could look, that says so."""
    try:
        found = scan(_scanned(source, address)).found
    except QualityError as error:
        return [{"source": source.name, "holds": f"not looked for: {error.message}"}]
    return [
        {
            "source": source.name,
            "holds": finding.title,
            "column": finding.column,
            "rows": finding.count,
            "masked": list(finding.samples),
        }
        for finding in found
    ]


def _scanned(source: DataSource, address: Address | None) -> Any:
    if source.table is None:
        return str(source.location).removeprefix("file://")
    from airflow_ai_provider.adapters.sql_tables import SqlSource

    schema, _, table = source.table.rpartition(".")
    return SqlSource(url=_url(source, address), table=table, schema=schema or None)


def _tool(name: str, wanted: str | None) -> dict[str, Any]:
    found = inventory.version_of(name)
    met = found is not None and (wanted is None or inventory.fits(found, wanted) is True)
    return {"name": name, "needed": wanted, "found": found, "met": met}
