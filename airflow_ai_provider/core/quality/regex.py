"""Regular expressions that Python and RE2 read alike.

Great Expectations on pandas searches with Python's engine or, where strings are Arrow's, with RE2;
DuckDB's engine is RE2. The two agree on a common subset. A pattern is parsed by Python's own
parser and written out again for RE2 twice: as Python means it and as RE2 means it. Where the two
texts are equal there is nothing to choose; where they differ (``$`` before a last line break,
``\\d`` and ``\\w`` beyond ASCII) the data decides: a row on which they disagree sends the
expectation to Great Expectations. What RE2 cannot say (look-around, back references) goes there
at once.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any

if sys.version_info >= (3, 11):
    from re import _constants as sre
    from re import _parser as sre_parser
else:  # pragma: no cover - Python 3.10's name
    import sre_constants as sre
    import sre_parse as sre_parser

_MOST_REPEATS = 1000
_UNBOUND = sre.MAXREPEAT
_BYTES = 4  # of a character
_MOST_STEPS = 300_000  # RE2 refuses a pattern whose program takes over 8 MiB

# What a class means to Python (Unicode) and to RE2 (ASCII), inside brackets.
_CLASSES = {
    sre.CATEGORY_DIGIT: (r"\p{Nd}", "0-9"),
    sre.CATEGORY_WORD: (r"\p{L}\p{N}_", "0-9A-Za-z_"),
    sre.CATEGORY_SPACE: ("\\t-\\r\\x1c-\\x20\\x{85}\\p{Z}", "\\t\\n\\f\\r "),
}
_NEGATED = {
    sre.CATEGORY_NOT_DIGIT: sre.CATEGORY_DIGIT,
    sre.CATEGORY_NOT_WORD: sre.CATEGORY_WORD,
    sre.CATEGORY_NOT_SPACE: sre.CATEGORY_SPACE,
}
# How many steps a class as Python means it takes, about.
_STEPS = {
    sre.CATEGORY_WORD: 1200,
    sre.CATEGORY_NOT_WORD: 1200,
    sre.CATEGORY_DIGIT: 100,
    sre.CATEGORY_NOT_DIGIT: 100,
    sre.CATEGORY_SPACE: 20,
    sre.CATEGORY_NOT_SPACE: 20,
}


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One pattern for RE2: ``python`` as Python means it, ``re2`` as RE2 does."""

    python: str
    re2: str

    @property
    def certain(self) -> bool:
        """Whether both mean the same on any text."""
        return self.python == self.re2


class UnsupportedPatternError(ValueError):
    """The pattern says what RE2 cannot, or what the two read differently."""


def translate(pattern: str) -> Pattern:
    """Return ``pattern`` for RE2.

    :raises UnsupportedPatternError: it is outside the common subset; the message says why.
    """
    try:
        parsed = sre_parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsupportedPatternError(f"no regular expression: {error}") from error
    if parsed.state.flags & ~re.UNICODE:
        raise UnsupportedPatternError("flags are read differently")
    found = Pattern(
        python=_sequence(parsed, meaning=0, last=True), re2=_sequence(parsed, meaning=1, last=True)
    )
    if _size(parsed, _MOST_REPEATS) > _MOST_STEPS:
        raise UnsupportedPatternError("it is too large for RE2")
    return found


def _size(items: Any, left: int) -> int:
    """Return about how many steps RE2 compiles ``items`` to.

    ``left`` is how often they may still be repeated: RE2 counts repeats inside repeats by product.
    """
    return sum(_size_of(op, argument, left) for op, argument in items)


def _size_of(op: Any, argument: Any, left: int) -> int:
    if op is sre.SUBPATTERN:
        return _size(argument[-1], left)
    if op is sre.BRANCH:
        return sum(_size(branch, left) for branch in argument[1])
    if op is sre.IN:
        return sum(_STEPS[one] if kind is sre.CATEGORY else _BYTES for kind, one in argument)
    if op not in {sre.MAX_REPEAT, sre.MIN_REPEAT}:
        return _BYTES
    low, high, inner = argument
    times = int(low) if high is _UNBOUND else int(high)
    if times:
        left //= times
    if not left:
        raise UnsupportedPatternError(f"RE2 repeats at most {_MOST_REPEATS} times")
    return _size(inner, left) * max(times, 1)


def _sequence(items: Any, *, meaning: int, last: bool) -> str:
    written = list(items)
    return "".join(
        _node(op, argument, meaning=meaning, last=last and i == len(written) - 1)
        for i, (op, argument) in enumerate(written)
    )


def _node(op: Any, argument: Any, *, meaning: int, last: bool) -> str:
    if op is sre.LITERAL:
        return _character(argument)
    if op is sre.NOT_LITERAL:
        return f"[^{_character(argument)}]"
    if op is sre.ANY:
        return r"[^\n]"
    if op is sre.IN:
        return _set(argument, meaning)
    if op is sre.AT:
        return _anchor(argument, meaning=meaning, last=last)
    if op is sre.BRANCH:
        branches = (_sequence(b, meaning=meaning, last=last) for b in argument[1])
        return f"(?:{'|'.join(branches)})"
    if op is sre.SUBPATTERN:
        _group, add, drop, inner = argument
        if add or drop:
            raise UnsupportedPatternError("flags are read differently")
        return f"(?:{_sequence(inner, meaning=meaning, last=last)})"
    if op in {sre.MAX_REPEAT, sre.MIN_REPEAT}:
        return _repeat(argument, meaning) + ("?" if op is sre.MIN_REPEAT else "")
    raise UnsupportedPatternError(f"{str(op).lower().replace('_', ' ')} is unknown to RE2")


def _repeat(argument: Any, meaning: int) -> str:
    low, high, inner = argument
    if low > _MOST_REPEATS or (high is not _UNBOUND and high > _MOST_REPEATS):
        raise UnsupportedPatternError(f"RE2 repeats at most {_MOST_REPEATS} times")
    body = _sequence(inner, meaning=meaning, last=False)
    return f"(?:{body}){{{low},{'' if high is _UNBOUND else high}}}"


def _anchor(where: Any, *, meaning: int, last: bool) -> str:
    if where in {sre.AT_BEGINNING, sre.AT_BEGINNING_STRING}:
        return r"\A"
    if where is sre.AT_END_STRING:
        return r"\z"
    if where is sre.AT_END and last:  # to Python also before a last line break
        return r"(?:\n?\z)" if meaning == 0 else r"(?:\z)"
    raise UnsupportedPatternError(f"{str(where).lower().replace('_', ' ')} is read differently")


def _set(items: Any, meaning: int) -> str:
    negated, written = "", []
    for op, argument in items:
        if op is sre.NEGATE:
            negated = "^"
        elif op is sre.LITERAL:
            written.append(_character(argument))
        elif op is sre.RANGE:
            written.append(f"{_character(argument[0])}-{_character(argument[1])}")
        elif op is sre.CATEGORY and argument in _CLASSES:
            written.append(_CLASSES[argument][meaning])
        elif op is sre.CATEGORY and argument in _NEGATED and len(items) == 1:
            return f"[^{_CLASSES[_NEGATED[argument]][meaning]}]"
        else:
            raise UnsupportedPatternError("a negated class inside brackets is read differently")
    return f"[{negated}{''.join(written)}]"


def _character(code: int) -> str:
    if code == 0 or 0xD800 <= code <= 0xDFFF:
        raise UnsupportedPatternError("a null or half character is read differently")
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\x{{{code:x}}}"
