"""Great Expectations on pandas is the reference: every compiled expectation says what it says.

Random tables (missing values, NaN, infinities, signed zeros, duplicates, no rows, all missing,
unicode, line breaks, truth values, days, times with and without a zone, decimals, lists, integers
beyond 2^53) meet random arguments and row conditions. Where the compiled form says that it is
unsure, nothing is compared: the gate asks the reference then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from airflow_ai_provider.adapters.duckdb import DuckDBData, open_data
from airflow_ai_provider.adapters.frames import open_frame
from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.compiler import COMPILED, compile_suite
from airflow_ai_provider.core.quality.suite import Suite, parse_suite
from airflow_ai_provider.services.quality_look import Look
from tests.adapters.file_corpus import FileCase
from tests.adapters.parity import answers, difference

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TABLES, EACH, LEAST_CASES, LONG = 20, 13, 200, 10
MORE = {
    "z_score": 5, "max_to": 3, "min_to": 3, "median": 1, "type_to": 1, "multi": 1, "select": 1,
    "type_list": 2, "compound": 12,
}  # fmt: skip


def suite_for(case: FileCase, seed: int) -> Suite:
    entries = [
        {"type": kind, "kwargs": case.kwargs(kind)}
        for kind in COMPILED
        for _ in range(EACH + sum(n for word, n in MORE.items() if word in kind))
    ]
    return parse_suite({"name": f"table {seed}", "expectations": entries})


Opening = Callable[[], AbstractContextManager[DuckDBData]]


def openings(case: FileCase, path: Path) -> dict[str, Opening]:
    """Return the ways in which one table comes: a file, a frame of pandas, one of Arrow."""
    import pandas as pd

    return {
        "parquet": lambda: open_data(path),
        "pandas": lambda: open_frame(pd.read_parquet(path)),
        "arrow": lambda: open_frame(case.arrow()),
    }


def compiled(suite: Suite, opening: Opening) -> dict[int, Outcome]:
    """Return what the compiled forms are sure of."""
    with opening() as data:
        plan = compile_suite(suite, data.columns, count=data.count, extent=data.extent)
        facts = Look(suite, data).facts(plan)
        judged = {c.expectation.index: c.judge(facts) for c in plan.checks}
        return {index: outcome for index, outcome in judged.items() if not outcome.unsure}


def compare(folder: Path, seeds: range) -> None:
    import pandas as pd

    cases: dict[str, Counter[str]] = defaultdict(Counter)
    differences = []
    for seed in seeds:
        case, path = FileCase(seed), folder / f"{seed}.parquet"
        case.write(path)
        suite = suite_for(case, seed)
        ours = {name: compiled(suite, way) for name, way in openings(case, path).items()}
        wanted = {index for found in ours.values() for index in found}
        theirs = answers(suite, pd.read_parquet(path), wanted)
        for name, index, outcome in ((n, i, o) for n, f in ours.items() for i, o in f.items()):
            expectation, their = suite.expectations[index], theirs[index]
            cases[name][expectation.type] += 1
            found = their.problem or difference(outcome.success, outcome.result, their)
            if found:
                asked = f"{seed} {name} {expectation.label} {dict(expectation.kwargs)}"
                differences.append(f"{asked}: {found}")
    assert not differences, "\n".join(differences[:40])
    assert {kind: n for kind in COMPILED if (n := cases["parquet"][kind]) < LEAST_CASES} == {}
    for name in ("pandas", "arrow"):  # some columns of a pandas frame are the reference's own
        assert {kind: n for kind in COMPILED if (n := cases[name][kind]) < LEAST_CASES / 2} == {}


def test_the_compiled_engine_says_what_great_expectations_says(tmp_path: Path) -> None:
    compare(tmp_path, range(TABLES))


@pytest.mark.faults
def test_the_compiled_engine_says_so_of_many_tables(tmp_path: Path) -> None:
    compare(tmp_path, range(TABLES, TABLES * LONG))
