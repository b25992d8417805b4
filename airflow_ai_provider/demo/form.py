"""What the demo's people type into a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPED = "entered by demo user"


def fill(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return one value per field: its proposal where there is one, else a text that says who typed.

    ``params`` is a form as Airflow's API gives it: by name, ``{"value", "description", "schema"}``.
    """
    return {
        name: param["value"]
        if param.get("value") not in (None, "", [], {})
        else _typed(param.get("schema") or {})
        for name, param in params.items()
    }


def choose(options: list[str], defaults: list[str] | None) -> list[str]:
    """Return the option that the demo's people pick: to approve, what is proposed, or the first."""
    if "Approve" in options:
        return ["Approve"]
    return defaults or options[:1]


def _typed(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        offered = [value for value in schema.get(key) or [] if value is not None]
        if offered:
            return [offered[0]] if _kind(schema) == "array" else offered[0]
    kind = _kind(schema)
    if kind == "array":
        item = _typed(schema.get("items") or {})
        return [item] * max(1, int(schema.get("minItems", 1)))
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _typed(properties.get(name) or {}) for name in schema.get("required") or []}
    if kind in {"integer", "number"}:
        return _number(schema)
    if kind == "boolean":
        return True
    return _text(schema)


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", "string")
    if isinstance(kinds, str):
        return kinds
    return next((str(kind) for kind in kinds if kind != "null"), "null")


def _number(schema: Mapping[str, Any]) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + 1
    value = low if low is not None else 1
    if high is not None and value > high:
        value = high
    return int(value) if _kind(schema) == "integer" else value


def _text(schema: Mapping[str, Any]) -> str:
    form = {
        "date": "2013-01-01",
        "date-time": "2013-01-01T00:00:00+00:00",
        "time": "00:00:00",
        "email": "demo@example.org",
        "uri": "https://example.org/",
    }.get(str(schema.get("format")))
    if form:
        return form
    text = TYPED.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema.get("maxLength", len(text)))]
