"""The way back: one task, on record, and what is none."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
)

from airflow_ai_provider.assets import model_asset
from tests.edge.promotion_scene import context_of
from tests.edge.promotion_tasks import back, move


@pytest.fixture
def two_in_dev(ledger, registry):
    for version in ("1", "2"):
        operator = move(version=version)
        operator.execute(context_of(operator))


def test_one_task_goes_back_records_and_emits(two_in_dev, ledger, registry):
    operator = back(reason="live quality fell")
    asset = model_asset("flights", "dev")
    assert operator.outlets == [asset]
    context = context_of(operator, user="ada")
    result = operator.execute(context)
    record = ledger.get(result["record"])
    assert (result["version"], result["previous"]) == ("1", "2")
    assert (record.kind, record.decided_by, record.task_id) == ("rollback", "ada", "back")
    assert context["outlet_events"][asset].extra == result
    assert registry.aliases("flights") == {"dev": "1"}
    assert operator.execute(context_of(operator, try_number=2)) == result
    assert context["ti"].pushed["mlflow_version"].endswith("/#/models/flights/versions/1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environment": "test"}, "no previous version to go back to"),
        ({"environment": "prod"}, "no environment 'prod'"),
        ({"target": 2}, "holds version 2 already"),
        ({"target": 9}, "it is deleted"),
        ({"expected": "7"}, "names 2, not 7 as expected"),
        ({"override": {"by": "ada"}}, "needs who and why"),
    ],
)
def test_a_way_back_that_is_none_is_not_retried(two_in_dev, registry, arguments, message):
    operator = back(**arguments)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))
    assert registry.aliases("flights") == {"dev": "2"}


def test_templates_of_a_way_back_that_gave_nothing(two_in_dev, ledger):
    operator = back(target="None", reason="", for_cause="False", override="", approval="None")
    record = ledger.get(operator.execute(context_of(operator))["record"])
    assert record.evidence["for_cause"] is False
