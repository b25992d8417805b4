"""The path of environments."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.errors import PromotionError
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath


def test_the_default_path():
    assert [DEFAULT_PATH.before(name) for name in DEFAULT_PATH.names] == [
        None,
        "dev",
        "test",
        "staging",
    ]
    assert DEFAULT_PATH.last == "production"
    assert [n for n in DEFAULT_PATH.names if DEFAULT_PATH.needs_decision(n)] == [
        "staging",
        "production",
    ]


def test_an_unknown_environment_is_refused():
    with pytest.raises(PromotionError, match="Choose one of dev, test, staging, production"):
        DEFAULT_PATH.before("prod")


@pytest.mark.parametrize("name", ["latest", "Latest", "v1", "a b", "", "ä", "a/b"])
def test_an_alias_that_mlflow_forbids_is_no_environment(name):
    with pytest.raises(PromotionError, match="cannot be an environment"):
        EnvironmentPath(names=("dev", name), decision_from="dev")


def test_a_path_holds_each_environment_once():
    with pytest.raises(PromotionError, match="different names"):
        EnvironmentPath(names=("dev", "dev"), decision_from="dev")
