"""Model promotion, whole: judge a candidate, register it, move it, and say what was where when."""

from __future__ import annotations

from airflow_ai_provider.services.promotion.judging import Judgement, judge, load_criteria
from airflow_ai_provider.services.promotion.life import StoreLife
from airflow_ai_provider.services.promotion.measuring import measure_evidence
from airflow_ai_provider.services.promotion.moving import Moved
from airflow_ai_provider.services.promotion.orders import (
    LEDGER,
    PromotionOrder,
    RollbackOrder,
    read_order,
    read_rollback,
)
from airflow_ai_provider.services.promotion.promoting import promote
from airflow_ai_provider.services.promotion.registration import (
    challengers,
    champion,
    in_environment,
    mark_challenger,
    register,
)
from airflow_ai_provider.services.promotion.rolling_back import roll_back
from airflow_ai_provider.services.promotion.timeline import check_aliases, history, holders

__all__ = [
    "LEDGER",
    "Judgement",
    "Moved",
    "PromotionOrder",
    "RollbackOrder",
    "StoreLife",
    "challengers",
    "champion",
    "check_aliases",
    "history",
    "holders",
    "in_environment",
    "judge",
    "load_criteria",
    "mark_challenger",
    "measure_evidence",
    "promote",
    "read_order",
    "read_rollback",
    "register",
    "roll_back",
]
