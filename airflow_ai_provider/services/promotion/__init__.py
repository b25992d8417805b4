"""Model promotion, whole: judge a candidate, register it, move it, and say what was where when."""

from __future__ import annotations

from airflow_ai_provider.services.promotion.history import check_aliases, history, holders
from airflow_ai_provider.services.promotion.judge import Judgement, judge, load_criteria
from airflow_ai_provider.services.promotion.move import LEDGER, Promoted, PromotionOrder, promote
from airflow_ai_provider.services.promotion.register import champion, in_environment, register

__all__ = [
    "LEDGER",
    "Judgement",
    "Promoted",
    "PromotionOrder",
    "champion",
    "check_aliases",
    "history",
    "holders",
    "in_environment",
    "judge",
    "load_criteria",
    "promote",
    "register",
]
