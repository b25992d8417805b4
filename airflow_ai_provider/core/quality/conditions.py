"""Row conditions, read once: which rows an expectation is about.

Great Expectations has three ways to write one: its Condition objects as a mapping, the text
``col("x") > 5`` of its own parser, and a text for ``pandas.DataFrame.query``. All become one small
tree of comparisons where the meaning is certain; what is not stays with the reference.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.quality.check import NotCompiledError
from airflow_ai_provider.core.quality.suite import Expectation

_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "IN", "NOT_IN")
_GX_PARSERS = ("great_expectations", "great_expectations__experimental__")
_COLUMN = r'col\("(?P<column>[^"]+)"\)'
_NUMBER = r"(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
_COMPARED = re.compile(
    rf"\s*{_COLUMN}\s*(?P<op>==|!=|>=|<=|>|<)\s*"
    rf"(?:{_NUMBER}|\"(?P<double>[ -!#-~\t]+)\"|'(?P<single>[ -&(-~\t]+)')\s*$"
)
_NOT_NULL = re.compile(rf"\s*{_COLUMN}\s*\.notnull\(\)\s*$", re.IGNORECASE)
_MOST = 100  # as many conditions as the reference allows


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A column's value compared with a number, a text or a set of either."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Whether a column's value is missing."""

    column: str
    wanted: bool


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Several conditions: all of them, or any."""

    parts: tuple[Condition, ...]
    every: bool


Condition = Compared | Missing | Joined


def condition_of(e: Expectation, *, query_text: bool) -> Condition | None:
    """Return the condition of ``e``, None where it is about every row.

    ``query_text`` says whether the reference is pandas, whose ``query`` texts are read too; its
    database engine takes only its own.

    :raises NotCompiledError: it is one that only the reference reads.
    """
    said = e.kwargs.get("row_condition")
    if said is None:
        return None
    parser = e.kwargs.get("condition_parser")
    if isinstance(said, Mapping):
        found = _mapping(said)
    elif not isinstance(said, str):
        raise NotCompiledError("row_condition is neither a text nor an object")
    elif query_text:
        if parser != "pandas":
            raise NotCompiledError(f"row_condition is written for {parser or 'no parser'}")
        found = _query(said)
    elif parser in _GX_PARSERS:
        found = _text(said)
    else:
        raise NotCompiledError(f"row_condition is written for {parser or 'no parser'}")
    return found


def columns_of(condition: Condition) -> tuple[str, ...]:
    """Return the columns that ``condition`` looks at."""
    if isinstance(condition, Joined):
        return tuple(name for part in condition.parts for name in columns_of(part))
    return (condition.column,)


def _mapping(said: Mapping[str, Any]) -> Condition:
    kind = said.get("type")
    if kind in {"and", "or"}:
        parts = said.get("conditions")
        if not isinstance(parts, Sequence) or not 0 < len(parts) <= _MOST:
            raise NotCompiledError("row_condition joins no conditions, or too many")
        return Joined(parts=tuple(_mapping(part) for part in parts), every=kind == "and")
    column = said.get("column")
    name = column.get("name") if isinstance(column, Mapping) else None
    if isinstance(name, str) and kind == "nullity" and isinstance(said.get("is_null"), bool):
        return Missing(column=name, wanted=said["is_null"])
    if isinstance(name, str) and kind == "comparison":
        return _compared(name, str(said.get("operator")), said.get("parameter"))
    raise NotCompiledError(f"row_condition is of the kind {kind!r}")


def _compared(column: str, operator: str, value: Any) -> Compared:
    listed = operator in {"IN", "NOT_IN"}
    values = value if listed else [value]
    if operator not in _OPERATORS or not isinstance(values, (list, tuple)):
        raise NotCompiledError("row_condition compares in a way of its own")
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not values or not (numbers or all(isinstance(v, str) for v in values)):
        raise NotCompiledError("row_condition compares with neither numbers nor texts")
    if any(v != v or v in {float("inf"), -float("inf")} for v in values):  # noqa: PLR0124
        raise NotCompiledError("row_condition compares with no finite number")
    return Compared(column=column, operator=operator, value=value)


def _text(said: str) -> Condition:
    if found := _NOT_NULL.match(said):
        return Missing(column=found["column"], wanted=False)
    found = _COMPARED.match(said)
    if not found:
        raise NotCompiledError("row_condition is one that only the reference reads")
    if found["number"]:
        written = found["number"]
        value: Any = int(written) if written.isdigit() else float(written)
    else:
        value = found["double"] or found["single"]
    return Compared(column=found["column"], operator=found["op"], value=value)


def _query(said: str) -> Condition:
    try:
        tree = ast.parse(said.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotCompiledError("row_condition is one that only pandas reads") from error
    return _expression(tree)


_COMPARISONS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "IN",
    ast.NotIn: "NOT_IN",
}
_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _expression(node: ast.expr) -> Condition:
    if isinstance(node, ast.BoolOp):
        parts = tuple(_expression(part) for part in node.values)
        return Joined(parts=parts, every=isinstance(node.op, ast.And))
    if isinstance(node, ast.Call):
        return _missing(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        operator = _COMPARISONS.get(type(node.ops[0]))
        left, right = node.left, node.comparators[0]
        if operator and isinstance(left, ast.Name):
            return _compared(left.id, operator, _constant(right))
        if operator in _TURNED and isinstance(right, ast.Name):
            return _compared(right.id, _TURNED[operator], _constant(left))
    raise NotCompiledError("row_condition is one that only pandas reads")


def _missing(node: ast.Call) -> Condition:
    method = node.func
    if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name) and not node.args:
        for names, wanted in ((("isnull", "isna"), True), (("notnull", "notna"), False)):
            if method.attr in names and not node.keywords:
                return Missing(column=method.value.id, wanted=wanted)
    raise NotCompiledError("row_condition is one that only pandas reads")


def _constant(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError) as error:
        raise NotCompiledError("row_condition is one that only pandas reads") from error
    return list(value) if isinstance(value, (list, tuple)) else value
