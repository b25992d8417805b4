"""Expectations on values in their order: quantiles, the most common ones, rising and falling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_ai_provider.core.quality.check import (
    RELATION,
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    counted,
    exact,
    inexact,
    judge_rows,
    need,
)
from airflow_ai_provider.core.quality.quantiles import judge_quantiles, quantile_ranges
from airflow_ai_provider.core.quality.ranks import brackets, counts, place, ranked, sampled, taken
from airflow_ai_provider.core.quality.sql import Family
from airflow_ai_provider.core.quality.suite import Expectation

ROW_NUMBER = "airflow_ai_row"  # a row's place, from 0, where a predicate needs it
_TIES = 100


def column_quantiles(e: Expectation, schema: Schema) -> Check:
    """Each quantile, the value nearest to its place, lies within its range."""
    column = schema.column(e, e.kwargs["column"])
    need(column, Family.INTEGER, Family.FLOAT)
    quantiles, ranges = quantile_ranges(e)
    value = schema.rows.of(column.sql)
    present, read = f"count({value})", f"quantiles {e.index}"
    guess = schema.count if schema.rows.condition is None else None
    long = (schema.count or 0) > schema.held
    early = _early(value, quantiles, guess, long=long)

    def more(facts: Facts) -> Mapping[str, str]:
        count = facts[present]
        if not count or (early and not long and count == guess):
            return {}
        places = [place(count, q) for q in quantiles]
        if not (early and long):
            return {read: f"SELECT {taken(value, places, count)} FROM {RELATION}"}  # noqa: S608
        within, counting = brackets(quantiles, facts[early]), f"counts {e.index}"
        if counting not in facts:
            return {counting: counts(value, within)}
        ranking = ranked(value, within, places, facts[counting][0])
        return {read: ranking or f"SELECT {taken(value, places, count)} FROM {RELATION}"}  # noqa: S608

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        if not facts[present]:
            values = [None] * len(quantiles)
        else:
            values = facts[early] if early and read not in facts else facts[read][0][0]
        return judge_quantiles(quantiles, ranges, values)

    reads = (present, *exact([column]), *([early] if early else []))
    return Check(expectation=e, reads=reads, judge=judge, more=more)


def _early(value: str, quantiles: Sequence[float], count: int | None, *, long: bool) -> str | None:
    """Return the read of the first pass: a sample of a long column, or already the quantiles.

    They are right if none of ``count`` values is missing.
    """
    if long:
        return sampled(value, quantiles)
    return taken(value, [place(count, q) for q in quantiles], count) if count else None


def most_common(e: Expectation, schema: Schema) -> Check:
    """The most common value is one of the set; with ``ties_okay`` one of several is enough."""
    column = schema.column(e, e.kwargs["column"])
    need(column, Family.INTEGER, Family.FLOAT, Family.TEXT)
    values = list(e.kwargs["value_set"])
    wanted = (str,) if column.family is Family.TEXT else (int, float)
    if not all(isinstance(v, wanted) and not isinstance(v, bool) for v in values):
        raise NotCompiledError(f"the set holds other kinds of values than column {column.name}")
    read = f"most common {e.index}"
    kept = schema.rows.both(f"{column.sql} IS NOT NULL")
    statement = (
        f"SELECT v FROM (SELECT {column.sql} AS v, count(*) AS n, max(count(*)) OVER () AS most "  # noqa: S608
        f"FROM {RELATION} WHERE {kept} GROUP BY 1) WHERE n = most LIMIT {_TIES + 1}"
    )

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        found = sorted(row[0] for row in facts[read])
        if len(found) > _TIES:
            return Outcome(unsure=f"more than {_TIES} values come equally often")
        within = len(set(values) & set(found))
        met = within > 0 if e.kwargs.get("ties_okay") else len(found) == 1 and within == 1
        return Outcome(success=met, result={"observed_value": found})

    return Check(
        expectation=e, reads=exact([column]), judge=judge, more=lambda _: {read: statement}
    )


def _in_order(e: Expectation, schema: Schema, sign: str) -> Check:
    """Return the check that each present value follows the one before it in order."""
    column, rows = schema.column(e, e.kwargs["column"]), schema.rows
    need(column, Family.INTEGER, Family.FLOAT)
    operator = sign if e.kwargs.get("strictly") else f"{sign}="
    value = f"{column.sql}::DOUBLE"
    kept = rows.both(f"{column.sql} IS NOT NULL")
    # an infinity less itself is no number, which pandas takes for in order
    disorder = f"(NOT isnan(v - before) AND NOT (v - before {operator} 0))"
    numbered = f"SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {RELATION}"  # noqa: S608
    followed = (
        f"SELECT {ROW_NUMBER} AS place, {value} AS v, lag({value}) OVER (ORDER BY {ROW_NUMBER}) "  # noqa: S608
        f"AS before FROM ({numbered}) WHERE {kept}"
    )
    failed = f"(SELECT {counted(disorder)} FROM ({followed}))"  # noqa: S608
    total, present = rows.count, f"count({rows.of(column.sql)})"

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        considered, unexpected = facts[present], facts[failed]
        return judge_rows(e, total=facts[total], considered=considered, unexpected=unexpected)

    places = f"SELECT place FROM ({followed}) WHERE {disorder}"  # noqa: S608
    return Check(
        expectation=e,
        reads=(total, present, failed, *exact([column])),
        judge=judge,
        failing=f"({ROW_NUMBER} IN ({places}))",
        shown=(column,),
        sample=Sample.VALUE,
    )


def increasing(e: Expectation, schema: Schema) -> Check:
    """No value is less than the one before it; with ``strictly`` each is more."""
    return _in_order(e, schema, ">")


def decreasing(e: Expectation, schema: Schema) -> Check:
    """No value is more than the one before it; with ``strictly`` each is less."""
    return _in_order(e, schema, "<")


ORDERED: dict[str, Compile] = {
    "expect_column_quantile_values_to_be_between": column_quantiles,
    "expect_column_most_common_value_to_be_in_set": most_common,
    "expect_column_values_to_be_increasing": increasing,
    "expect_column_values_to_be_decreasing": decreasing,
}
