"""Which version a way back leads to."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.promotion.rollback import (
    NEWEST_GOOD,
    PREVIOUS,
    Placed,
    bad,
    choose,
    standing,
)


def fine(_version):
    return None


def placed(*words):
    """Return moves as they are written here: ``3`` into, ``<2`` back to, ``<!2`` back for cause."""
    made, now = [], None
    for word in words:
        version = word.lstrip("<!")
        made.append(
            Placed(
                version=version or None,
                is_rollback=word.startswith("<"),
                left=now,
                for_cause="!" in word,
            )
        )
        now = version or None
    return made


@pytest.mark.parametrize(
    ("moves", "previous", "newest_good"),
    [
        ("1", None, None),
        ("1 2", "1", "1"),
        ("1 2 3 <!2", "1", "1"),
        ("1 2 3 <!2 <!1", None, None),
        ("1 2 3 <2", "1", "3"),
        ("1 2 3 <!2 4", "2", "2"),
        ("1 2 <!1 2 3", "2", "2"),
        ("1 2 1", "2", "2"),
        ("1 2 3 <1", None, "3"),
        ("1 2 <!", None, "1"),
    ],
)
def test_where_it_leads(moves, previous, newest_good):
    made = placed(*moves.split())
    for wanted, expected in ((PREVIOUS, previous), (NEWEST_GOOD, newest_good)):
        found = choose(made, wanted, trouble=fine)
        assert (found.version if found else None) == expected


def test_what_stands_against_a_named_version():
    made = placed("1", "2", "<!1")
    assert choose(made, "2", trouble=fine).objections == ("version 2 was rolled back for cause",)
    assert choose(made, "7", trouble=fine).objections == ("version 7 was never there",)
    assert choose(made, "7", trouble=lambda _v: "it is ill").objections == (
        "version 7 was never there",
        "it is ill",
    )


def test_the_newest_good_is_one_that_is_ready():
    made = placed("1", "2", "3")
    ill = {"2"}
    found = choose(made, NEWEST_GOOD, trouble=lambda v: "ill" if v in ill else None)
    assert found.version == "1"


VERSIONS = st.integers(1, 5).map(str)


@st.composite
def lives(draw):
    """A life as our own services make it: promotions, and ways back where there is one."""
    made = []
    for _ in range(draw(st.integers(0, 15))):
        stack = standing(made)
        now = stack[-1] if stack else None
        wanted = draw(st.sampled_from(["go", PREVIOUS, NEWEST_GOOD]))
        if wanted == "go":
            version = draw(VERSIONS)
            if version != now:
                made.append(Placed(version=version, left=now))
            continue
        target = choose(made, wanted, trouble=fine)
        if target is not None and not target.objections:
            made.append(
                Placed(
                    version=target.version,
                    is_rollback=True,
                    left=now,
                    for_cause=draw(st.booleans()),
                )
            )
    return made


@given(lives())
def test_the_stack_ends_with_what_holds_now(made):
    stack = standing(made)
    assert (stack[-1] if stack else None) == (made[-1].version if made else None)
    assert all(a != b for a, b in itertools.pairwise(stack))


@given(lives(), st.sampled_from([PREVIOUS, NEWEST_GOOD]))
def test_it_never_leads_to_where_it_is_nor_to_a_stranger(made, wanted):
    target = choose(made, wanted, trouble=fine)
    if target is not None:
        assert target.version != made[-1].version
        assert target.version in {move.version for move in made}
        if wanted == NEWEST_GOOD:
            assert target.version not in bad(made)
        if target.version in bad(made):
            assert target.objections


@given(lives())
def test_ways_back_end(made):
    for _ in range(len(made) + 1):
        target = choose(made, PREVIOUS, trouble=fine)
        if target is None:
            return
        made.append(Placed(version=target.version, is_rollback=True, left=made[-1].version))
    raise AssertionError("it went back for ever")
