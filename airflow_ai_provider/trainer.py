"""The entry point of training code: the same in a process, in a container and in a pod.

``python -m airflow_ai_provider.trainer MODULE:FUNCTION --arguments '{"name": value}'`` calls the
function with keyword arguments from JSON and hands back what it returns, as JSON: on the last line
of standard output, and in the file that Airflow's XCom sidecar reads when its folder is there
(``/airflow/xcom/return.json``, or ``--result FILE``). Small results only; data and models go
through object storage or MLflow, whose addresses the environment gives.

Without ``MODULE:FUNCTION`` the function comes with its arguments in the environment
(``AIRFLOW_AI_FUNCTION``, see ``core.gpu.shipping``): so ``@task.gpu`` runs in a pod of any image
that has a Python, which is handed this file's text.

The file stands alone: a trainer's image carries it without Airflow and without this package.

Exit status: 0 done, 1 the function raised, 2 wrong use.
"""

from __future__ import annotations
import __future__

import argparse
import base64
import importlib
import json
import linecache
import os
import pickle
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

XCOM = Path("/airflow/xcom/return.json")
SHIPPED = "AIRFLOW_AI_FUNCTION"
LARGEST = 48 * 1024  # bytes; what a database's row and an XCom should hold


class UsageError(Exception):
    """The command line names no function, or no arguments for it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Call what the command line names, and hand its result back."""
    options = _options().parse_args(argv)
    try:
        if options.function is None:
            function, given, arguments = shipped(os.environ.get(SHIPPED))
        else:
            function, given = named(options.function), ()
            arguments = _arguments(options.arguments)
    except UsageError as error:
        print(f"trainer: {error}", file=sys.stderr)  # noqa: T201 - a program's own words
        return 2
    try:
        text = as_json(function(*given, **arguments))
    except Exception:  # noqa: BLE001 - whatever the user's code raises, its trace is what helps
        traceback.print_exc()
        return 1
    target = options.result or (XCOM if XCOM.parent.is_dir() else None)
    if target is not None:
        put(target, text)
    print(text, flush=True)  # noqa: T201 - the result
    return 0


def named(name: str) -> Callable[..., Any]:
    """Return the function that ``MODULE:FUNCTION`` names.

    :raises UsageError: there is no such module or function.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(f"{name!r} is not MODULE:FUNCTION.")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise UsageError(f"There is no module {module}; is its folder in PYTHONPATH?") from error
    except AttributeError as error:
        raise UsageError(f"{module} has no {attribute}.") from error
    if not callable(found):
        raise UsageError(f"{name} is no function.")
    return found  # type: ignore[no-any-return]


def shipped(text: str | None) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function that was sent along as source, with its arguments.

    :raises UsageError: nothing was sent, or it cannot be read here.
    """
    if not text:
        raise UsageError(f"Name MODULE:FUNCTION, or send a function in {SHIPPED}.")
    sent = json.loads(zlib.decompress(base64.b64decode(text)))
    source, file = sent["source"], sent["file"]
    lines = source.splitlines(keepends=True)
    linecache.cache[file] = (len(source), None, lines, file)  # traces show the lines
    try:
        packed = pickle.loads(base64.b64decode(sent["arguments"]))  # noqa: S301 - of the one who asks
    except Exception as error:
        raise UsageError(
            f"The arguments of {sent['name']} need something that is not in this image: {error!r}."
        ) from error
    names: dict[str, Any] = {"__name__": "__airflow_ai_function__", "__file__": file}
    annotations = __future__.annotations.compiler_flag  # what they name need not be there
    exec(compile(source, file, "exec", flags=annotations), names)  # noqa: S102 - what it is for
    function = names[sent["name"]]
    if "around" in sent:
        wraps: dict[str, Any] = {"__name__": "__airflow_ai_around__"}
        exec(compile(sent["around"], "around", "exec"), wraps)  # noqa: S102 - as above
        function = wraps["around"](function)
    return function, tuple(packed["args"]), packed["kwargs"]


def as_json(result: Any) -> str:
    """Return ``result`` as one line of JSON.

    :raises ValueError: it is too large to be handed over, or holds NaN.
    :raises TypeError: it is not of JSON's types.
    """
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > LARGEST:
        raise ValueError(
            f"The result has {len(text.encode())} bytes, and {LARGEST} are allowed: write it to "
            "object storage or MLflow and return its address."
        )
    return text


def put(target: Path, text: str) -> None:
    """Write ``text`` to ``target``, whole or not at all."""
    handle, written = tempfile.mkstemp(dir=target.parent, prefix=".result-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(written).chmod(0o644)
        Path(written).replace(target)
    finally:
        Path(written).unlink(missing_ok=True)


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--arguments is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError("--arguments must be a JSON object: names and values.")
    return found


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_ai_provider.trainer")
    parser.add_argument("function", nargs="?", metavar="MODULE:FUNCTION")
    parser.add_argument("--arguments", default="{}", metavar="JSON", help="a JSON object")
    parser.add_argument("--result", type=Path, metavar="FILE", help="where the result goes as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
