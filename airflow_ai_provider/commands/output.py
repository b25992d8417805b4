"""What every command prints, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.lifecycle.visible import Sight, Viewer
from airflow_ai_provider.services import store as stores
from airflow_ai_provider.services.seeing import sight_of
from airflow_ai_provider.store.engine import Store

DONE, REFUSED, COULD_NOT_LOOK = 0, 1, 2


_said_to: ContextVar[TextIO | None] = ContextVar("_said_to", default=None)


@contextmanager
def alone_on_standard_output() -> Iterator[None]:
    """Let only what ``say`` says reach standard output meanwhile.

    Airflow logs there once it is imported, and so may a DAG file that is parsed: that goes to
    standard error, or the one JSON document would not be alone.
    """
    before = _said_to.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _said_to.reset(before)


def standard_output() -> TextIO:
    """Return where ``say`` says it."""
    return _said_to.get() or sys.stdout


def say(text: str, *, end: str = "\n") -> None:
    """Print to standard output."""
    print(text, end=end, file=standard_output())


def emit(args: argparse.Namespace, document: Any, lines: Iterable[str]) -> None:
    """Print ``document`` as JSON when asked for, else the readable ``lines``."""
    if args.json:
        say(json.dumps(plain(document), indent=2, ensure_ascii=False))
    else:
        for line in lines:
            say(line)


def fail(args: argparse.Namespace, error: AirflowAiError) -> int:
    """Say on standard error what went wrong and what to do next; the exit status is 2."""
    print(f"airflow-ai: {type(error).__name__}: {error}", file=sys.stderr)
    if getattr(args, "json", False):
        say(json.dumps({"error": type(error).__name__, "message": str(error)}))
    return COULD_NOT_LOOK


def at_least_one(text: str) -> int:
    """Return an argument that counts something."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def add_viewer(parser: argparse.ArgumentParser) -> None:
    """Let the user of a command that shows projects or models say who looks."""
    parser.add_argument(
        "--as",
        dest="viewer",
        metavar="USER[/ROLE,...]",
        help="look as this Airflow user with these roles; else as whom the system calls you, "
        "without a role. Who has the store's address can say anything here: what a project's "
        "visible_to hides is kept from logs and screens, not from who reads the database",
    )


def sight(args: argparse.Namespace, store: Store) -> Sight:
    """Return what whoever looks may not see; see ``add_viewer``."""
    if args.viewer is None:
        return sight_of(store, Viewer(users=_system_user()))
    user, _, roles = str(args.viewer).partition("/")
    named = (role.strip() for role in roles.split(","))
    return sight_of(
        store,
        Viewer(users=frozenset({user} - {""}), roles=frozenset(role for role in named if role)),
    )


def _system_user() -> frozenset[str]:
    """Return the name of the process's user; none where the system has no name for it."""
    try:
        return frozenset({pwd.getpwuid(os.getuid()).pw_name})
    except KeyError:
        return frozenset()


def open_store(args: argparse.Namespace, *, create: bool = False) -> Store:
    """Return the store that the command line, the environment or Airflow names."""
    return stores.open_store(_address(args), create=create)


def migrate_store(args: argparse.Namespace) -> Store:
    """Bring the tables of that store to this version, and return it open."""
    return stores.migrate_store(_address(args))


def _address(args: argparse.Namespace) -> stores.StoreAddress | str | None:
    if args.store:
        return str(args.store)
    if os.environ.get(stores.CONNECTION_VARIABLE) or os.environ.get(stores.HANDED_VARIABLE):
        return None
    from airflow_ai_provider.hooks.store import AiStoreHook  # asks Airflow; costs its import

    return AiStoreHook().get_address()


def table(rows: list[tuple[Any, ...]], header: tuple[str, ...]) -> list[str]:
    """Return ``rows`` as aligned lines under ``header``."""
    cells = [header, *(tuple("" if c is None else str(c) for c in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
