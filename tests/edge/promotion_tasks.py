"""The promotion operators as the tests make them, and an answer to a question."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_ai_provider.operators.promotion import (
    ModelGateOperator,
    ModelPromoteOperator,
    ModelRollbackOperator,
    PromotionApprovalOperator,
)
from tests.edge.promotion_scene import context_of

GOOD = [{"kind": "threshold", "metric": "roc_auc", "min": 0.7}]
BAD = [{"kind": "min_rows", "min": 51}]


def gate(evidence, criteria, **arguments):
    return ModelGateOperator(task_id="judge", evidence=evidence, criteria=criteria, **arguments)


class Parked(BaseException):
    """Airflow took the question."""


def approval(verdict, **arguments):
    return PromotionApprovalOperator(
        **{
            "task_id": "approve",
            "subject": "May it go?",
            "evidence": verdict,
            "assigned_users": ["sponsor", "ml"],
            **arguments,
        }
    )


def answer(by="sponsor", choice="Approve", **params):
    return {
        "chosen_options": [choice],
        "params_input": {"comment": None, **params},
        "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "responded_by_user": {"id": by, "name": by} if by else None,
    }


def ask(operator, **context):
    made = context_of(operator, **context)
    with pytest.raises(Parked):
        operator.execute(made)
    return made["ti"].pushed


def move(environment="dev", version="1", **arguments):
    return ModelPromoteOperator(
        task_id=f"to_{environment}",
        model_name="flights",
        version=version,
        environment=environment,
        **arguments,
    )


def back(**arguments):
    return ModelRollbackOperator(
        **{"task_id": "back", "model_name": "flights", "environment": "dev", **arguments}
    )
