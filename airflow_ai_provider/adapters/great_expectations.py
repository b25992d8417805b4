"""Great Expectations itself, on its pandas engine, for what is not compiled.

It is imported only when needed: that costs seven CPU seconds.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import QualityError, SuiteError
from airflow_ai_provider.core.quality.suite import Expectation, Suite, suggestion
from airflow_ai_provider.core.quality.values import json_safe

EXTRA = "great-expectations"
_CHATTY = ("", ".data_context.types.base")  # the second sets a level of its own


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What Great Expectations said of one expectation.

    ``rows`` are the numbers of the failing rows, from 0; None when it is about no row.
    """

    expectation: Expectation
    success: bool
    result: Mapping[str, Any]
    rows: tuple[int, ...] | None


def build(suite: Suite, expectations: Sequence[Expectation]) -> dict[int, Any]:
    """Return Great Expectations' own objects for ``expectations``, by their place in the suite.

    :raises SuiteError: one is unknown to it, or has arguments it refuses.
    :raises QualityError: Great Expectations is not installed.
    """
    gx = _import(suite, expectations)
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    built: dict[int, Any] = {}
    for expectation in expectations:
        try:
            kind = get_expectation_impl(expectation.type)
        except ExpectationNotFoundError as error:
            raise _unknown(suite, expectation) from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                built[expectation.index] = kind(**expectation.kwargs)
        except (ValueError, TypeError, gx.exceptions.GreatExpectationsError) as error:
            raise suite.error(
                expectation,
                f"is refused by Great Expectations: {_short(error)}",
                "Correct its arguments.",
            ) from error
    return built


def validate(suite: Suite, built: Mapping[int, Any], frame: Any) -> list[Judged]:
    """Return what Great Expectations says of ``frame``, in the suite's order.

    Each expectation is validated by ``batch.validate``: a ``ValidationDefinition`` cannot write
    numpy's truth values (the quantile expectation returns one).

    :raises SuiteError: an expectation could not be evaluated; nothing passes unseen.
    """
    import great_expectations as gx

    by_index = {e.index: e for e in suite.expectations}
    frame = frame.reset_index(drop=True)
    with _quiet():
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = (
            context.data_sources.add_pandas("files")
            .add_dataframe_asset("data")
            .add_batch_definition_whole_dataframe("all")
            .get_batch(batch_parameters={"dataframe": frame})
        )
        raw = gx.ExpectationSuite(name=suite.name)
        for index, expectation in built.items():
            expectation.meta = {**(expectation.meta or {}), "airflow_ai_index": index}
            raw.expectations.append(expectation)
        answered = batch.validate(raw, result_format="COMPLETE")
    found: dict[int, Judged] = {}
    for answer in answered.results:
        index = answer.expectation_config.meta["airflow_ai_index"]
        found[index] = _judged(suite, by_index[index], answer)
    missing = set(built) - set(found)
    if missing:
        raise suite.error(by_index[min(missing)], "was not evaluated by Great Expectations")
    return [found[index] for index in sorted(found)]


def _judged(suite: Suite, expectation: Expectation, answer: Any) -> Judged:
    problem = _raised(answer.exception_info)
    if problem:
        raise suite.error(
            expectation,
            f"could not be evaluated: {problem}",
            "Correct the expectation, or the data's types.",
        )
    result = dict(answer.result or {})
    rows = result.pop("unexpected_index_list", None)
    for name in ("unexpected_list", "unexpected_index_query", "partial_unexpected_index_list"):
        result.pop(name, None)
    return Judged(
        expectation=expectation,
        success=bool(answer.success),  # numpy's truth value, from the quantile expectation
        result=dict(json_safe(result)),
        rows=None if rows is None else tuple(int(row) for row in rows),
    )


def _raised(info: Any) -> str | None:
    """Return the message of the first exception; the info is flat, or one entry a metric."""
    if not isinstance(info, Mapping):
        return None
    if "raised_exception" in info:
        return _short(info.get("exception_message")) if info["raised_exception"] else None
    for inner in info.values():
        if problem := _raised(inner):
            return problem
    return None


def _import(suite: Suite, expectations: Sequence[Expectation]) -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        import great_expectations
    except ImportError as error:
        for expectation in expectations:
            if suggestion(expectation.type) and not _known(expectation):
                raise _unknown(suite, expectation) from error
        listed = ", ".join(e.label for e in expectations[:5])
        raise QualityError(
            f"Suite {suite.name} needs Great Expectations for {listed}, and it is not installed.",
            remedy=f"Install airflow-ai-provider[{EXTRA}].",
            suite=suite.name,
        ) from error
    return great_expectations


def _known(expectation: Expectation) -> bool:
    from airflow_ai_provider.core.quality.catalogue import CATALOGUE

    return expectation.type in CATALOGUE


def _unknown(suite: Suite, expectation: Expectation) -> SuiteError:
    return suite.error(
        expectation,
        "is unknown to Great Expectations",
        suggestion(expectation.type) or "Import the module that defines it, if it is your own.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the chatter and the deprecations of Great Expectations out of the task's log."""
    loggers = [logging.getLogger(f"great_expectations{name}") for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _short(error: Any) -> str:
    return " ".join(str(error).split())[:300]
