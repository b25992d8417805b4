"""Quantities, selectors, patches and errors, as the API server understands them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

Object = dict[str, Any]

_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)(m|k|[KMGTP]i?|)")
_UNITS = {
    "": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
# lists that a strategic merge joins by a key of their items
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "conditions": "type",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
}


class ApiError(Exception):
    """An answer of the API server that is no success."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


def now() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def quantity(value: Any) -> float:
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        raise ApiError(
            400, "BadRequest", f"quantities must match the regular expression: {value!r}"
        )
    return float(found[1]) * _UNITS[found[2]]


def merge(old: Any, patch: Any, *, strategic: bool = False) -> Any:
    """Return ``old`` with a JSON merge patch, or a strategic one, applied."""
    if not isinstance(patch, dict):
        return patch
    out = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        key = _MERGE_KEYS.get(name) if strategic else None
        if value is None:
            out.pop(name, None)
        elif key and isinstance(value, list):
            out[name] = _merge_lists(out.get(name) or [], value, key)
        elif isinstance(value, dict):
            out[name] = merge(out.get(name), value, strategic=strategic)
        else:
            out[name] = value
    return out


def json_patch(of: Object, changes: list[Object]) -> Object:
    """Return ``of`` with additions and removals applied, by the path of each."""
    for change in changes:
        *way, last = (
            part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]
        )
        at = of
        for part in way:
            at = at[part]
        if change["op"] == "remove":
            if last not in at:
                raise ApiError(422, "Invalid", f"there is nothing at {change['path']}")
            del at[last]
        else:
            at[last] = change["value"]
    return of


def _merge_lists(old: list[Any], patch: list[Any], key: str) -> list[Any]:
    by_key = {item[key]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            by_key.pop(item[key], None)
        else:
            by_key[item[key]] = merge(by_key.get(item[key]), item, strategic=True)
    return list(by_key.values())


def labels_match(selector: str | None, labels: dict[str, str]) -> bool:
    for term in re.split(r",(?![^(]*\))", selector or ""):
        if term.strip() and not _label_term(term.strip(), labels):
            return False
    return True


def _label_term(term: str, labels: dict[str, str]) -> bool:
    if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\((.*)\)", term):
        values = [value.strip() for value in found[3].split(",")]
        return (labels.get(found[1]) in values) is (found[2] == "in")
    if found := re.fullmatch(r"([^!=]+?)\s*(!=|==|=)\s*(.*)", term):
        return (labels.get(found[1]) == found[3]) is (found[2] != "!=")
    return term[1:] not in labels if term[0] == "!" else term in labels


def fields_match(selector: str | None, of: Object) -> bool:
    for term in filter(None, (selector or "").split(",")):
        found = re.fullmatch(r"([^!=]+)(!?)==?(.*)", term)
        assert found, term
        value: Any = of
        for part in found[1].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if ((value or "") == found[3]) is bool(found[2]):
            return False
    return True


def requests_of(pod: Object) -> dict[str, float]:
    """Return what a pod asks for: the sum of its containers, or more for an init container."""
    total: dict[str, float] = {}
    for container in pod["spec"].get("containers") or []:
        for name, value in _requests(container).items():
            total[name] = total.get(name, 0) + value
    for container in pod["spec"].get("initContainers") or []:
        for name, value in _requests(container).items():
            total[name] = max(total.get(name, 0), value)
    return total


def _requests(container: Object) -> dict[str, float]:
    asked = (container.get("resources") or {}).get("requests") or {}
    return {name: quantity(value) for name, value in asked.items()}


def is_over(pod: Object) -> bool:
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def set_condition(of: Object, kind: str, status: str, **more: Any) -> bool:
    """Set a condition; whether it was another before."""
    conditions = of.setdefault("status", {}).setdefault("conditions", [])
    old = next((c for c in conditions if c["type"] == kind), None)
    if old and old["status"] == status and all(old.get(k) == v for k, v in more.items()):
        return False
    others = [c for c in conditions if c["type"] != kind]
    fresh = {"type": kind, "status": status, "lastTransitionTime": now(), **more}
    conditions[:] = [*others, fresh]
    return True
