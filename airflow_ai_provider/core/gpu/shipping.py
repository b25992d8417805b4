"""A function as text, to be called where its module is not: in a pod.

What is sent is the function's own source and its arguments, not the DAG file around it. So it may
use only what it imports itself; what else it names is found here, and not by a pod that failed.
"""

from __future__ import annotations

import ast
import base64
import builtins
import dis
import inspect
import json
import pickle
import textwrap
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from airflow_ai_provider.core.errors import FunctionNotPortableError

LARGEST = 120 * 1024  # bytes; Linux takes no variable of more than 128 KiB
_PROTOCOL = 4  # what every Python that may run in an image can read


def ship(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    around: str | None = None,
) -> str:
    """Return ``function`` with its arguments as the text that ``trainer.shipped`` reads.

    ``around`` is the source of a module whose function ``around`` makes another of it there.

    :raises FunctionNotPortableError: it needs something of its module, its arguments cannot be
        sent, or it is too large.
    """
    name = getattr(function, "__name__", "")
    source = _source_of(function, name)
    missing = sorted(_borrowed(function, source))
    if missing:
        raise FunctionNotPortableError(
            f"{name} uses {', '.join(missing)} of its DAG file, which is not there in a pod.",
            remedy="Import it inside the function, or hand it over as an argument.",
            names=missing,
        )
    try:
        packed = pickle.dumps({"args": list(args), "kwargs": dict(kwargs)}, protocol=_PROTOCOL)
    except Exception as error:
        raise FunctionNotPortableError(
            f"The arguments of {name} cannot be sent to a pod: {error!r}.",
            remedy="Hand over values or addresses, not connections, frames of another process "
            "or functions.",
        ) from error
    sent = {
        "name": name,
        "file": f"{getattr(function, '__module__', 'dag')}.{name}",
        "source": source,
        "arguments": base64.b64encode(packed).decode(),
    }
    if around is not None:
        sent["around"] = around
    text = base64.b64encode(zlib.compress(json.dumps(sent).encode())).decode()
    if len(text) > LARGEST:
        raise FunctionNotPortableError(
            f"{name} and its arguments take {len(text)} bytes, and {LARGEST} go into a pod's "
            "environment.",
            remedy="Put data into object storage and hand over its address.",
        )
    return text


def _source_of(function: Callable[..., Any], name: str) -> str:
    """Return the function's definition without its decorators."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise FunctionNotPortableError(
            f"There is no source of {name or function!r}.", remedy="Define it with def in a file."
        ) from error
    if not isinstance(node, ast.FunctionDef):  # a lambda, a class, or a coroutine
        raise FunctionNotPortableError(
            f"{name or function!r} is no plain function.", remedy="Define it with def in a file."
        )
    return "\n".join(text.splitlines()[node.lineno - 1 :]) + "\n"


def _borrowed(function: Callable[..., Any], source: str) -> set[str]:
    """Return the names that the function takes from around it."""
    found = set(function.__code__.co_freevars)
    around = function.__globals__.keys() - {function.__name__, *dir(builtins)}
    named = {name for code in _codes(function.__code__) for name in _globals_of(code)}
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)  # noqa: S101 - _source_of made it so
    signature = definition.args
    for default in [*signature.defaults, *filter(None, signature.kw_defaults)]:
        named |= {node.id for node in ast.walk(default) if isinstance(node, ast.Name)}
    return found | (named & around)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _globals_of(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            yield str(instruction.argval)
