"""Where the code refuses: each ``raise`` of the modules that promote, by file, function and number.

A test names the refusals that it meets so, and another that every refusal is named.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import airflow_ai_provider

PACKAGE = Path(airflow_ai_provider.__file__).parent

MODULES = (
    "adapters/mlflow.py",
    "adapters/mlflow_artifacts.py",
    "adapters/mlflow_client.py",
    "adapters/mlflow_files.py",
    "adapters/mlflow_http.py",
    "adapters/mlflow_rest.py",
    "core/promotion/approval.py",
    "core/promotion/environments.py",
    "operators/_gate.py",
    "operators/_moves.py",
    "operators/promotion.py",
    "operators/promotion_copy.py",
    "operators/promotion_moves.py",
    "sensors/promotion.py",
    "services/promotion/awaiting.py",
    "services/promotion/bound.py",
    "services/promotion/checked.py",
    "services/promotion/checks.py",
    "services/promotion/copy_turn.py",
    "services/promotion/copying.py",
    "services/promotion/judging.py",
    "services/promotion/measuring.py",
    "services/promotion/moving.py",
    "services/promotion/promoting.py",
    "services/promotion/registration.py",
    "services/promotion/rolling_back.py",
    "store/evidence.py",
    "store/ledger.py",
    "store/promotion.py",
)


@dataclass(frozen=True)
class Site:
    """One ``raise`` of something new; ``name`` is like ``services/promotion/bound.py:f#2``."""

    name: str
    module: str
    first_line: int
    last_line: int


@cache
def sites() -> tuple[Site, ...]:
    """Return the refusals of all ``MODULES``."""
    return tuple(site for module in MODULES for site in _sites_of(module))


def _sites_of(module: str) -> Iterator[Site]:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    numbers: Counter[str] = Counter()
    for function, found in _raises(tree, ""):
        numbers[function] += 1
        name = f"{module}:{function}#{numbers[function]}"
        yield Site(name, module, found.lineno, found.end_lineno or found.lineno)


def _raises(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Raise]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _raises(child, child.name)
            continue
        if isinstance(child, ast.Raise) and child.exc is not None:
            yield function, child
        yield from _raises(child, function)


def met_by(error: BaseException) -> set[str]:
    """Return the refusals that ``error`` and what caused it come from."""
    found: set[str] = set()
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    for link in chain:
        traceback, last = link.__traceback__, None
        while traceback is not None:
            last, traceback = traceback, traceback.tb_next
        if last is not None:
            file, line = Path(last.tb_frame.f_code.co_filename), last.tb_lineno
            found |= {
                site.name
                for site in sites()
                if PACKAGE / site.module == file and site.first_line <= line <= site.last_line
            }
    return found
