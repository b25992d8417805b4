"""Expectations on a column's type, as pandas names the type that it reads the column into."""

from __future__ import annotations

from airflow_ai_provider.core.quality.check import (
    ROWS,
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Schema,
)
from airflow_ai_provider.core.quality.suite import Expectation

READ_INTO = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "UTINYINT": "uint8",
    "USMALLINT": "uint16",
    "UINTEGER": "uint32",
    "DOUBLE": "float64",
    "FLOAT": "float32",
    "BOOLEAN": "bool",
}
_MEANT = {
    **{name: name for name in READ_INTO.values()},
    "int": "int64",
    "long": "int64",
    "float": "float64",
    "double": "float64",
    "bool_": "bool",
}


def column_type(e: Expectation, schema: Schema) -> Check:
    """The column is of the type, or of one of the types."""
    column = schema.column(e, e.kwargs["column"])
    if e.kwargs.get("row_condition") is not None:
        raise NotCompiledError("a type is no matter of rows")
    wanted = e.kwargs.get("type_list") if "type_" not in e.kwargs else [e.kwargs["type_"]]
    if column.type == "VARCHAR" and wanted == ["str"] and e.type.endswith("of_type"):
        met = Outcome(success=True, result={"observed_value": "str"})
        return Check(expectation=e, reads=(), judge=lambda _: met)
    read = READ_INTO.get(column.type)
    known = wanted and all(isinstance(w, str) and w in _MEANT for w in wanted)
    if read is None or not known:
        raise NotCompiledError(f"what {column.type} is to pandas depends on its version")
    names = {_MEANT[w] for w in wanted or ()}
    present = f"count({column.sql})"

    def judge(facts: Facts) -> Outcome:
        found = read
        if facts[present] < facts[ROWS] and not read.startswith("float"):
            if read == "bool":
                return Outcome(unsure=f"column {column.name} holds truth values and missing ones")
            found = "float64"  # pandas has no integer that is missing
        return Outcome(success=found in names, result={"observed_value": found})

    return Check(expectation=e, reads=(ROWS, present), judge=judge)


TYPES: dict[str, Compile] = {
    "expect_column_values_to_be_of_type": column_type,
    "expect_column_values_to_be_in_type_list": column_type,
    "expect_column_type_to_be": column_type,
}
