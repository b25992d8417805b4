"""What a mark in a process's environment names, whatever stands there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gpu.lease import parse_mark

LEASE = "0123456789abcdef0123456789abcdef"


@given(lease_id=st.uuids().map(lambda u: u.hex), fence=st.integers(0, 10**18 - 1))
def test_a_mark_names_its_lease(lease_id: str, fence: int) -> None:
    assert parse_mark(f"{lease_id}:{fence}") == (lease_id, fence)


@pytest.mark.parametrize(
    "text",
    [None, "", LEASE, f"{LEASE}:", f"{LEASE}:x", f"{LEASE}:-1", f"{LEASE}:1 ", f"{LEASE[:-1]}:1"],
)
def test_anything_else_names_none(text: str | None) -> None:
    assert parse_mark(text) is None


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    found = parse_mark(text)
    assert found is None or (len(found[0]) == 32 and 0 <= found[1] < 2**63)
