"""Is a project's code a product? What its DAGs share, and what they copied.

A DAG belongs to the project when it names it or its file, or imports a module that does. Two
functions are copies when they say the same but for names of their own, texts and numbers: what
changes when somebody copies a function and adapts it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

LEAST_STATEMENTS = 6  # shorter ones are alike by chance
PROVIDER = "airflow_ai_provider"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A function that stands in several files, as ``file:function``."""

    places: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CodeFound:
    """A project's DAG files, those that share nothing, what was copied, what cannot be read."""

    dags: tuple[str, ...]
    alone: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    unreadable: tuple[str, ...] = ()


def examine_code(
    sources: Mapping[str, str], *, names: Collection[str], shared: Mapping[str, str] | None = None
) -> CodeFound:
    """Return what the Python files ``sources``, texts by path, share and copy.

    ``names`` are the project's name and the name of its file. ``shared`` are components that stand
    elsewhere and are imported, not copied: a function that is one of theirs is a copy.
    """
    parsed = {path: _parsed(text) for path, text in sources.items()}
    trees = {path: tree for path, tree in parsed.items() if tree is not None}
    modules = {_module(path): path for path in trees}
    imports = {path: _local(tree, path, modules) for path, tree in trees.items()}
    dags = [p for p, tree in trees.items() if _makes_dag(tree)]
    mine = {p for p, tree in trees.items() if _says(tree, names)}
    dags = sorted(p for p in dags if mine & {p, *_reached(p, imports)})
    used: dict[str, int] = {}
    for path in trees:
        for other in imports[path]:
            used[other] = used.get(other, 0) + 1
    alone = [
        p
        for p in dags
        if not _uses_provider(trees[p]) and not any(used[other] > 1 for other in imports[p])
    ]
    of_project = {*dags, *(other for p in dags for other in _reached(p, imports))}
    kept = {f"{PROVIDER}/{path}": ast.parse(text) for path, text in (shared or {}).items()}
    return CodeFound(
        dags=tuple(dags),
        alone=tuple(alone),
        copies=tuple(_copies({**trees, **kept}, of_project)),
        unreadable=tuple(sorted(path for path, tree in parsed.items() if tree is None)),
    )


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None  # named as unreadable


def _module(path: str) -> str:
    parts = PurePath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module, path: str) -> Iterator[str]:
    """Yield every dotted name that a module imports, with each name it takes from one."""
    package = PurePath(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield module
            yield from (f"{module}.{alias.name}".strip(".") for alias in node.names)


def _local(tree: ast.Module, path: str, modules: Mapping[str, str]) -> set[str]:
    found = {modules[name] for name in _imported(tree, path) if name in modules}
    return found - {path}


def _reached(path: str, imports: Mapping[str, set[str]]) -> set[str]:
    """Return the files that ``path`` imports, and those that they import."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for other in imports[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found - {path}


def _makes_dag(tree: ast.Module) -> bool:
    """Whether the file calls or decorates with something of Airflow's that makes a DAG.

    A call of a function of one's own that returns a DAG is one of its last words, ``..._dag()``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in {"DAG", "dag"} or name.endswith("_dag"):
                return True
        if isinstance(node, ast.FunctionDef) and any(
            isinstance(d, ast.Name) and d.id == "dag" for d in node.decorator_list
        ):
            return True
    return False


def _says(tree: ast.Module, names: Collection[str]) -> bool:
    return any(
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value in names or PurePath(node.value).name in names)
        for node in ast.walk(tree)
    )


def _uses_provider(tree: ast.Module) -> bool:
    return any(name.split(".")[0] == PROVIDER for name in _imported(tree, "dag.py"))


def _copies(trees: Mapping[str, ast.Module], of_project: Collection[str]) -> Iterator[Copy]:
    places: dict[str, list[tuple[str, str]]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                and _statements(node) >= LEAST_STATEMENTS
            ):
                places.setdefault(_shape(node), []).append((path, node.name))
    for found in places.values():
        files = {path for path, _ in found}
        if len(files) > 1 and files & set(of_project):
            yield Copy(places=tuple(sorted(f"{path}:{name}" for path, name in found)))


def _statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1 - _has_doc(function)


def _has_doc(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(function, clean=False) is not None


class _Plain(ast.NodeTransformer):
    """Takes out what changes when somebody adapts a copy: names of one's own, texts, numbers."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def _named(self, name: str) -> str:
        return self._names.setdefault(name, f"n{len(self._names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=self._named(node.id), ctx=node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=self._named(node.arg), annotation=None)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(value=type(node.value).__name__)


def _shape(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return what a function does, without what it is called and what it says of itself."""
    body = function.body[1:] if _has_doc(function) else function.body
    plain = ast.parse(ast.unparse(ast.Module(body=body, type_ignores=[])))
    return ast.dump(_Plain().visit(plain))
