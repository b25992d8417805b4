"""What waits for people in the browser tests: a milestone's form and a promotion's approval."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_ai_provider.operators.lifecycle import MilestoneFormOperator, MilestoneOperator
from airflow_ai_provider.operators.promotion import PromotionApprovalOperator
from tests.browser.words import HOSTILE

PROJECT = os.environ["BROWSER_PROJECT"]
EVIDENCE = {
    "subject": "mlflow://m/7",
    "candidate": "m/7",
    "verdict": "pass",
    "criteria": [
        {
            "name": "ranks",
            "limit": 0.7,
            "observed": 0.75,
            "verdict": "pass",
            "sentence": f"It ranks better than {HOSTILE}.",
        }
    ],
}

with DAG("kick_off", schedule=None):
    asked = MilestoneFormOperator(task_id="ask", project=PROJECT, milestone="kick_off")
    MilestoneOperator(task_id="done", project=PROJECT, milestone="kick_off", answers=asked.output)

with DAG("release", schedule=None):
    PromotionApprovalOperator(
        task_id="approve",
        subject="May this version go to production?",
        evidence=EVIDENCE,
        assigned_users=["sponsor"],
    )
