"""What libraries say, as a part of a sentence of ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import in_one_line


def test_lines_become_one_and_the_mark_at_the_end_goes() -> None:
    assert in_one_line("it failed:\n\tis it up?\n") == "it failed: is it up"
    assert in_one_line(ValueError("no such file.")) == "no such file"


@given(st.text(max_size=2000))
def test_whatever_is_said_fits_into_a_line(text: str) -> None:
    said = in_one_line(text)
    assert len(said.splitlines()) <= 1
    assert len(said) <= 500
    assert " ".join(text.split()).startswith(said.removesuffix("..."))
