"""Our list of Great Expectations' expectations is that of the installed version."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.quality.catalogue import CATALOGUE

pytestmark = pytest.mark.slow


def test_every_core_expectation_is_listed_with_its_arguments() -> None:
    pytest.importorskip("great_expectations")
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    common = {
        *("id", "meta", "notes", "result_format", "description", "catch_exceptions"),
        *("rendered_content", "severity", "windows", "batch_id", "library_metadata"),
    }
    registered = sorted(list_registered_expectation_implementations())
    assert registered == sorted(CATALOGUE)
    for name in registered:
        fields = get_expectation_impl(name).__fields__
        required = {k for k, field in fields.items() if field.required}
        assert set(CATALOGUE[name].required) == required, name
        assert set(CATALOGUE[name].names) == set(fields) - common, name
