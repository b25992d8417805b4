"""Great Expectations itself, on its pandas or SQL engine, for what is not compiled.

It is imported only when needed: that costs seven CPU seconds.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import QualityError, SuiteError
from airflow_ai_provider.core.quality.suite import Expectation, Suite, suggestion
from airflow_ai_provider.core.quality.values import json_safe

EXTRA = "great-expectations"
_TOGETHER = 30
_CHATTY = ("", ".data_context.types.base")  # the second sets a level of its own


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What Great Expectations said of one expectation.

    ``rows`` are the numbers of the failing rows, from 0; None when it is about no row. ``problem``
    is why it could not be evaluated; then the rest means nothing.
    """

    expectation: Expectation
    success: bool
    result: Mapping[str, Any]
    rows: tuple[int, ...] | None = None
    problem: str | None = None


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


@dataclass(frozen=True, kw_only=True)
class TableBatch:
    """A table or a query for Great Expectations' SQL engine; ``url`` with its password."""

    url: str
    table: str | None = None
    schema: str | None = None
    query: str | None = None


def validate(suite: Suite, built: Mapping[int, Any], data: Any) -> list[Judged]:
    """Return what Great Expectations says of ``data``, in the suite's order.

    ``data`` is a pandas frame, or a ``TableBatch``, which its SQL engine reads. Each expectation is
    validated by ``batch.validate``: a ``ValidationDefinition`` cannot write numpy's truth values
    (the quantile expectation returns one).

    :raises SuiteError: an expectation could not be evaluated; nothing passes unseen.
    """
    judged = answers(suite, built, data)
    for one in judged:
        if one.problem:
            raise suite.error(
                one.expectation,
                f"could not be evaluated: {one.problem}",
                "Correct the expectation, or the data's types.",
            )
    return judged


def answers(
    suite: Suite, built: Mapping[int, Any], data: Any, *, samples: bool = True
) -> list[Judged]:
    """Return what Great Expectations answers, problems among it, in the suite's order.

    Without ``samples`` it need not look for failing rows again, to show them.
    """
    import great_expectations as gx

    by_index = {e.index: e for e in suite.expectations}
    found: dict[int, Judged] = {}
    with _quiet():
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = _table(context, data) if isinstance(data, TableBatch) else _frame(context, data)
        for some in _rounds(by_index, built):
            raw = gx.ExpectationSuite(name=suite.name)
            for index in some:
                expectation = built[index]
                expectation.meta = {**(expectation.meta or {}), "airflow_ai_index": index}
                raw.expectations.append(expectation)
            answered = batch.validate(raw, result_format=_result_format(data, samples=samples))
            for answer in answered.results:
                index = answer.expectation_config.meta["airflow_ai_index"]
                found[index] = _judged(by_index[index], answer)
    missing = set(built) - set(found)
    if missing:
        raise suite.error(by_index[min(missing)], "was not evaluated by Great Expectations")
    return [found[index] for index in sorted(found)]


def _rounds(expectations: Mapping[int, Expectation], built: Iterable[int]) -> list[list[int]]:
    """Return which expectations are validated together.

    Its time grows with the square of how many there are. And of several quantile expectations on
    one column it takes one's quantiles for all: they share a metric that each has changed.
    """
    rounds: list[list[int]] = [[]]
    taken: list[set[str]] = [set()]
    for index in sorted(built):
        e = expectations[index]
        one_of_many = "quantile" in e.type
        key = f"{e.kwargs.get('column')} {e.kwargs.get('row_condition')}" if one_of_many else ""
        for listed, keys in zip(rounds, taken, strict=True):
            if len(listed) < _TOGETHER and not (one_of_many and key in keys):
                break
        else:
            listed, keys = [], set()
            rounds.append(listed)
            taken.append(keys)
        listed.append(index)
        if one_of_many:
            keys.add(key)
    return rounds


def _result_format(data: Any, *, samples: bool) -> Any:
    """Ask a frame for every failing row, to keep it apart; a database for a sample of them."""
    if not samples:
        return {"result_format": "BASIC", "partial_unexpected_count": 0}
    return "SUMMARY" if isinstance(data, TableBatch) else "COMPLETE"


def _frame(context: Any, frame: Any) -> Any:
    return (
        context.data_sources.add_pandas("files")
        .add_dataframe_asset("data")
        .add_batch_definition_whole_dataframe("all")
        .get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})
    )


def _table(context: Any, data: TableBatch) -> Any:
    sqlite = data.url.startswith("sqlite")
    add = context.data_sources.add_sqlite if sqlite else context.data_sources.add_sql
    # it would read a dollar sign as the start of a variable's name
    address = data.url if sqlite else data.url.replace("$", "%24")
    source = add("database", connection_string=address)
    if data.query is not None:
        asset = source.add_query_asset("data", query=data.query.strip().rstrip(";"))
        return asset.add_batch_definition_whole_table("all").get_batch()
    asset = source.add_table_asset("data", table_name=data.table, schema_name=data.schema)
    return asset.add_batch_definition_whole_table("all").get_batch()


def _judged(expectation: Expectation, answer: Any) -> Judged:
    problem = _raised(answer.exception_info)
    if problem:
        return Judged(expectation=expectation, success=False, result={}, problem=problem)
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
