"""Try a project before it runs: what a company's CI calls. Nothing is decided, nothing is kept."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.profile import write_sample
from airflow_ai_provider.core.errors import AirflowAiError, LifecycleError, ProjectFileError
from airflow_ai_provider.core.gate import Criterion
from airflow_ai_provider.core.lifecycle import criteria as traps
from airflow_ai_provider.core.lifecycle import on_found
from airflow_ai_provider.core.lifecycle.phases import plan_criteria
from airflow_ai_provider.core.lifecycle.project import DataSource
from airflow_ai_provider.services.findings import found_in
from airflow_ai_provider.services.project_file import (
    ProjectFile,
    criteria_problems,
    read_project_file,
)

_PATIENCE = 300  # seconds, for Airflow to start and parse
_PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("PARSED" + json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors}))
"""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was tried: whether it held, what was found, and what to do."""

    name: str
    ok: bool
    message: str
    remedy: str = ""


def parse_dags(folder: Path) -> dict[str, Any]:
    """Let an Airflow of its own, with nothing in it, parse ``folder``: ``{"dags", "errors"}``.

    :raises LifecycleError: it cannot.
    """
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")}
        places = [str(folder), *filter(None, [env.get("PYTHONPATH")])]
        env |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join(places),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter on the caller's own folder
                [sys.executable, "-c", _PARSE, str(folder)],
                env=env,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LifecycleError(
                f"Airflow did not parse {folder} within {_PATIENCE} s.",
                remedy="Look for a DAG file that waits for something when it is imported.",
            ) from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("PARSED")]
    if not lines:
        said = done.stderr.strip().splitlines()
        raise LifecycleError(
            f"Airflow could not parse {folder}: {said[-1] if said else 'it says nothing'}.",
            remedy="Install Apache Airflow beside this package.",
        )
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("PARSED"))
    return found


def try_project(
    path: Path,
    *,
    dags: Path | None = None,
    phase: str = "pilot",
    fetch: bool = False,
    parse: Callable[[Path], dict[str, Any]] = parse_dags,
) -> Iterator[Check]:
    """Yield every check of the project file at ``path``; those after the first need a good file.

    The DAGs in ``dags``, the folder above the file's unless said, are parsed by ``parse``. Each
    source's suite runs on the source's sample; with ``fetch`` a sample is fetched anew, to a place
    of its own. The gates up to the end of ``phase`` are asked for every criterion that needs no
    store.
    """
    try:
        file = read_project_file(path)
    except ProjectFileError as error:
        for found in error.facts["errors"]:
            yield Check(
                name=f"file, line {found['line']}",
                ok=False,
                message=f"{found['field'] or 'file'}: {found['message']}",
                remedy=found["remedy"],
            )
        return
    for problem in criteria_problems(file.project, file.text):
        yield Check(
            name=f"file, line {problem.line}",
            ok=False,
            message=f"{problem.field}: {problem.message}",
            remedy=problem.remedy,
        )
    yield Check(name="file", ok=True, message=f"{path} is a good project file.")
    folder = dags or path.absolute().parent.parent
    yield from _dags(folder, parse)
    for source in file.project.data_sources:
        yield from _suite(source, fetch=fetch)
    for criterion in _criteria(file, folder, phase):
        yield Check(
            name=criterion.name,
            ok=criterion.verdict.lets_pass,
            message=criterion.sentence
            if criterion.verdict.lets_pass
            else f"The limit is: {criterion.limit}.",
            remedy="" if criterion.verdict.lets_pass else criterion.sentence,
        )


def _criteria(file: ProjectFile, folder: Path, phase: str) -> list[Criterion]:
    project, found = file.project, found_in(folder, file)
    criteria = [*plan_criteria(project)]
    if phase != "discovery":
        criteria += [
            traps.operations_owner(project),
            traps.compliance(project),
            on_found.models_not_in_git(found),
            on_found.product_approach(found),
        ]
    return criteria


def _dags(folder: Path, parse: Callable[[Path], dict[str, Any]]) -> Iterator[Check]:
    try:
        parsed = parse(folder)
    except LifecycleError as error:
        yield Check(name="dags", ok=False, message=error.message, remedy=error.remedy or "")
        return
    for path, said in sorted(parsed["errors"].items()):
        last = said.strip().splitlines()[-1] if said.strip() else "it cannot be imported"
        yield Check(
            name="dags", ok=False, message=f"{path}: {last}", remedy="Correct the import error."
        )
    count = len(parsed["dags"])
    yield Check(
        name="dags",
        ok=count > 0 and not parsed["errors"],
        message=f"{count} DAGs parse in {folder}: {', '.join(parsed['dags']) or 'none'}.",
        remedy="" if count else "Name the folder of the project's DAGs: --dags.",
    )


def _suite(source: DataSource, *, fetch: bool) -> Iterator[Check]:
    name = f"data source {source.name}"
    if source.suite is None:
        yield Check(name=name, ok=True, message="It has no suite: nothing is expected of it.")
        return
    with tempfile.TemporaryDirectory() as place:
        try:
            yield _on_sample(source, Path(place), fetch=fetch)
        except AirflowAiError as error:
            yield Check(name=name, ok=False, message=error.message, remedy=error.remedy or "")


def _on_sample(source: DataSource, place: Path, *, fetch: bool) -> Check:
    """Run the gate of ``source`` on its sample, and say what it would decide."""
    from airflow_ai_provider.services.quality import check

    sample = source.sample
    if fetch and source.location:
        sample = write_sample(_first(source.location), str(place / "sample.parquet")).path
    if sample is None or not Path(sample).is_file():
        raise LifecycleError(
            f"There is no sample of {source.name}{f' at {sample}' if sample else ''}.",
            remedy="Fetch one: airflow-ai project test --fetch, or keep one in the repository.",
        )
    result = check(
        sample, source.suite, suite_parameters=dict(source.sample_parameters), allow_empty=True
    )
    failed = [
        found.expectation
        for found in result.report.failed
        if found.expectation.severity.rank >= result.fail_on.rank
        and "table_row_count" not in found.expectation.type  # a sample is no whole delivery
    ]
    told = ", ".join(f"{e.type} {e.kwargs.get('column', '')}".strip() for e in failed)
    return Check(
        name=f"data source {source.name}",
        ok=not failed,
        message=f"The gate would refuse its sample: {told}."
        if failed
        else f"The gate would let its sample pass ({result.data.rows} rows).",
        remedy="Correct the suite, or the sample that it is tried on." if failed else "",
    )


def _first(location: str) -> str:
    """Return one delivery of a source: the first file that a pattern finds."""
    found = sorted(glob.glob(location.removeprefix("file://"), recursive=True))  # noqa: PTH207
    return found[0] if found else location
