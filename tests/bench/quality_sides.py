"""The same suite on the same file by us, by Great Expectations on pandas and by hand-written SQL.

``python -m tests.bench.quality_sides SIDE FILE`` is one side in a process of its own. It takes one
line of standard input for each run, and answers each with one line of JSON: the seconds of the run,
how many rows failed each expectation that counts them, and the most memory the process ever held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.quality_data import FIGURES, SAMPLES, SCATTERED, SUITE

ROOT = Path(__file__).resolve().parents[2]
Counts = dict[str, int]  # an expectation's place, as JSON has it -> how many rows fail it


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a side; ``peak`` is the process's memory in MB, libraries included."""

    wall: float
    cpu: float
    peak: float
    counts: Counts


class Side:
    """A side that is ready in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self) -> Run:
        """Let it run once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(f"a side ended with {self._process.wait()}")
        return Run(**json.loads(answer))


def command(name: str, path: Path, *arguments: str) -> list[str]:
    """Return the command of a side's process."""
    return [sys.executable, "-m", "tests.bench.quality_sides", name, str(path), *arguments]


@contextmanager
def side(name: str, path: Path, *arguments: str, within: Sequence[str] = ()) -> Iterator[Side]:
    """Start a side, warm: it has run once. ``within`` is the command that starts its command."""
    process = subprocess.Popen(
        [*within, *command(name, path, *arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        started = Side(process)
        started.run()
        yield started
    finally:
        process.communicate("")


def cold(name: str, path: Path) -> Run:
    """Run a side once in a new process; its seconds are those of the whole process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command(name, path), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("run\n")
    process.stdin.close()
    answer = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    wall = time.perf_counter() - began
    return Run(
        wall=wall,
        cpu=used.ru_utime + used.ru_stime,
        peak=answer["peak"],
        counts=answer["counts"],
    )


def scattered(path: str, memory_limit: str | None = None) -> Counts:
    """Run the suite that needs a hash table as long as the data."""
    return ours(path, memory_limit, suite=SCATTERED)


def ours(path: str, memory_limit: str | None = None, *, suite: Any = SUITE) -> Counts:
    """Run the suite as the product does."""
    from airflow_ai_provider.services.quality import check

    report = check(path, suite, memory_limit=memory_limit).report
    assert {result.engine for result in report.results} == {"compiled"}
    return {
        str(result.expectation.index): result.result["unexpected_count"]
        for result in report.results
        if "unexpected_count" in result.result
    }


def great_expectations(path: str) -> Counts:
    """Run the suite as Great Expectations' own guide has it, on pandas."""
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("orders")
        .add_batch_definition_whole_dataframe("all")
        .get_batch(batch_parameters={"dataframe": pd.read_parquet(path)})
    )
    suite = gx.ExpectationSuite(
        name="orders",
        expectations=[
            {**each, "meta": {"place": place}} for place, each in enumerate(SUITE["expectations"])
        ],
    )
    answers = batch.validate(suite).results
    assert len(answers) == len(SUITE["expectations"])
    assert not any(answer.exception_info.get("raised_exception") for answer in answers)
    return {
        str(answer.expectation_config.meta["place"]): answer.result["unexpected_count"]
        for answer in answers
        if "unexpected_count" in answer.result
    }


def by_hand(path: str) -> Counts:
    """Run one statement, and one for each sample, as a person would write them."""
    import duckdb

    connection = duckdb.connect()
    try:
        [row] = connection.execute(FIGURES, {"path": path}).fetchall()
        for statement in SAMPLES:
            connection.execute(statement, {"path": path}).fetchall()
    finally:
        connection.close()
    total, present, distinct, amounts, regions, mails, lengths, shares, *_ = row
    return {
        "1": total - present,
        "2": present - distinct,
        "3": present - distinct,
        "4": amounts,
        "5": regions,
        "6": mails,
        "7": lengths,
        "8": total - shares,
    }


SIDES = {
    "ours": ours,
    "scattered": scattered,
    "great_expectations": great_expectations,
    "by_hand": by_hand,
}


def peak_memory() -> float:
    """Return the most memory this process ever held, in MB.

    ``ru_maxrss`` would do but that it begins with what the parent held at the fork.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def main(name: str, *arguments: str) -> None:
    """Answer each line of standard input with a run."""
    run: Any = SIDES[name]
    for _ in sys.stdin:
        cpu, began = time.process_time(), time.perf_counter()
        counts: Mapping[str, int] = run(*arguments)
        seconds = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        print(json.dumps({**seconds, "peak": peak_memory(), "counts": counts}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
