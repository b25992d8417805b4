"""Shapes of texts: a regular expression that all samples match, where there is an obvious one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_MOST_RUNS = 12
_LONGEST = 64

# What people name; the whole value must match. Written for Python, RE2 and PostgreSQL alike.
_NAMED = {
    "days in ISO 8601": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "times in ISO 8601": (
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
        "(Z|[+-][0-9]{2}:?[0-9]{2})?$"
    ),
    "times of day": "^[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?$",
    "UUIDs": "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    "web addresses": "^https?://[^ ]+$",
    "whole numbers as text": "^-?[0-9]+$",
    "numbers as text": "^-?[0-9]+[.][0-9]+$",
    "SHA-256 or other long hexadecimal digests": "^[0-9a-f]{32,128}$",
}
_CLASSES = {"A": "[A-Z]", "a": "[a-z]", "0": "[0-9]"}
_JOINING = "-_./:# "  # between the parts of an id


def shape_of(values: Sequence[str]) -> tuple[str, str] | None:
    """Return what ``values`` look like, and the pattern that all of them match; None of no shape.

    >>> shape_of(["AB-123", "XY-9"])
    ('ids of one form', '^[A-Z]{2}[-][0-9]{1,3}$')
    """
    if not values:
        return None
    for name, pattern in _NAMED.items():
        compiled = re.compile(pattern)
        if all(len(v) <= 2 * _LONGEST and compiled.fullmatch(v) for v in values):
            return name, pattern
    pattern_found = _mask(values)
    return ("ids of one form", pattern_found) if pattern_found else None


def _mask(values: Sequence[str]) -> str | None:
    """Return the pattern of runs that all values share: capitals, small letters, digits, joints.

    A single run of letters is a word, and words have no form, unless all are of one length.
    """
    runs = _runs(values[0])
    if not runs:
        return None
    lengths = [(n, n) for _, n in runs]
    for value in values[1:]:
        others = _runs(value)
        if [c for c, _ in others] != [c for c, _ in runs]:
            return None
        lengths = [(min(a, n), max(b, n)) for (a, b), (_, n) in zip(lengths, others, strict=True)]
    classes = [c for c, _ in runs]
    if "0" not in classes and any(a != b for a, b in lengths):
        return None
    return "^" + "".join(_part(c, *n) for c, n in zip(classes, lengths, strict=True)) + "$"


def _runs(value: str) -> list[tuple[str, int]]:
    """Return the runs of ``value``, each a class and its length; none of what has no form."""
    if not value or len(value) > _LONGEST:
        return []
    runs = [(c, len(list(group))) for c, group in groupby(value, key=_class)]
    spaces = sum(1 for c, _ in runs if c == " ")
    if len(runs) > _MOST_RUNS or spaces > 1 or any(c == "?" for c, _ in runs):
        return []
    return runs


def _class(character: str) -> str:
    if not character.isascii():
        return "?"
    if character.isdigit():
        return "0"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _JOINING else "?"


def _part(name: str, least: int, most: int) -> str:
    written = _CLASSES.get(name, f"[{name}]")
    if least == most:
        return written if most == 1 else f"{written}{{{most}}}"
    return f"{written}{{{least},{most}}}"
