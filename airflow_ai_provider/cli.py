"""The script ``airflow-ai``.

Every command takes ``--json`` and then prints one JSON document on standard output and nothing else
there. Exit status: 0 done or passed, 1 a gate failed or a thing was refused, 2 could not look or
wrong use.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from airflow_ai_provider import __version__
from airflow_ai_provider.commands.output import COULD_NOT_LOOK, DONE, alone_on_standard_output, fail
from airflow_ai_provider.core.errors import AirflowAiError, in_one_line

COMMANDS = ("gpu", "quality", "promotion", "feedback", "project", "ledger", "store", "doctor")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; it imports no capability's libraries."""
    parser = argparse.ArgumentParser(
        prog="airflow-ai", description="Look after AI projects on Apache Airflow."
    )
    parser.add_argument("--version", action="version", version=f"airflow-ai-provider {__version__}")
    _add_common(parser, default=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"airflow_ai_provider.commands.{name}").register(subparsers)
    for leaf in _leaves(parser):
        _add_common(leaf, default=argparse.SUPPRESS)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = build_parser().parse_args(argv)
    args.json = bool(args.json)
    with alone_on_standard_output():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        return int(args.run(args) or DONE)
    except AirflowAiError as error:
        return fail(args, error)
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except OSError as error:
        said = f"{error.filename or 'A file'}: {error.strerror or error}."
        return fail(args, AirflowAiError(said, remedy="Check the path and its permissions."))
    except KeyboardInterrupt:
        return COULD_NOT_LOOK
    except Exception as error:
        if not type(error).__module__.startswith("airflow."):
            raise
        return fail(args, _of_airflow(error))


def _of_airflow(error: Exception) -> AirflowAiError:
    """Return what Airflow says that it lacks, such as a connection, as an error of ours."""
    return AirflowAiError(
        f"Airflow says: {in_one_line(error)}.",
        remedy="A connection may stand in Airflow or in the environment, as AIRFLOW_CONN_<ID>.",
    )


def _add_common(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument("--store", metavar="URL", default=default, help="the store's database URL")
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON document"
    )


def _leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found.extend(_leaves(child) or [child])
    return found


if __name__ == "__main__":
    sys.exit(main())
