"""Suites as users have them: a file, a mapping, an ``ExpectationSuite``, a callable, or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, SuiteError
from airflow_ai_provider.core.quality.suite import Suite, merged, parse_suite

_SHIPPED = "airflow-ai:"
_FOLDER = Path(__file__).parents[1] / "suites"


def load_suite(suite: Any, *, suite_parameters: Mapping[str, Any] | None = None) -> Suite:
    """Return the suite that ``suite`` means; of several, one that holds them all.

    It is the path of a JSON file, the name of one that is shipped (``airflow-ai:personal_data``), a
    mapping, Great Expectations' own ``ExpectationSuite``, a callable that returns one of these, or
    a list of any of them.

    :raises SuiteError: it cannot be read, or means nothing.
    """
    if isinstance(suite, Suite):
        return suite
    if isinstance(suite, Mapping):
        return parse_suite(suite, parameters=suite_parameters)
    if isinstance(suite, str) and suite.startswith(_SHIPPED):
        return _from_file(_shipped(suite), suite_parameters)
    if isinstance(suite, (str, os.PathLike)):
        return _from_file(Path(suite), suite_parameters)
    if hasattr(suite, "to_json_dict"):  # Great Expectations' own, without importing it
        return parse_suite(suite.to_json_dict(), parameters=suite_parameters)
    if isinstance(suite, Sequence) and suite:
        return merged([load_suite(one, suite_parameters=suite_parameters) for one in suite])
    if callable(suite):
        return load_suite(_called(suite), suite_parameters=suite_parameters)
    raise SuiteError(
        f"A suite cannot be a {type(suite).__name__}.",
        remedy="Give a path, a mapping, an ExpectationSuite, a callable, or a list of these.",
    )


def _shipped(name: str) -> Path:
    found = _FOLDER / f"{name.removeprefix(_SHIPPED)}.json"
    known = sorted(p.stem for p in _FOLDER.glob("*.json"))
    if found.stem not in known:
        raise SuiteError(
            f"No suite {name} is shipped.",
            remedy=f"Use one of {', '.join(_SHIPPED + stem for stem in known)}.",
            suite=name,
        )
    return found


def _called(suite: Callable[[], Any]) -> Any:
    name = getattr(suite, "__name__", "suite")
    try:
        made = suite()
    except AirflowAiError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise SuiteError(
            f"The suite's callable {name} failed: {type(error).__name__}: {error}.",
            remedy="Correct it.",
            suite=name,
        ) from error
    if callable(made) and not hasattr(made, "to_json_dict"):
        raise SuiteError(f"The suite's callable {name} returns a callable.", suite=name)
    return made


def _from_file(path: Path, parameters: Mapping[str, Any] | None) -> Suite:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SuiteError(
            f"Cannot read the suite {path}: {error.strerror or error}.",
            remedy="Check the path.",
            suite=str(path),
        ) from error
    return parse_suite(content, name=path.stem, parameters=parameters)
