"""Model promotion, whole: judge a candidate, register it, move it, and say what was where when."""

from __future__ import annotations

from airflow_ai_provider.services.promotion.checked import promote_checked
from airflow_ai_provider.services.promotion.copying import Copied, CopyOrder, copy_model
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
from airflow_ai_provider.services.promotion.timeline import history, holders
from airflow_ai_provider.services.promotion.watching import check_aliases, watch_aliases

__all__ = [
    "LEDGER",
    "Copied",
    "CopyOrder",
    "Judgement",
    "Moved",
    "PromotionOrder",
    "RollbackOrder",
    "StoreLife",
    "challengers",
    "champion",
    "check_aliases",
    "copy_model",
    "history",
    "holders",
    "in_environment",
    "judge",
    "load_criteria",
    "mark_challenger",
    "measure_evidence",
    "promote",
    "promote_checked",
    "read_order",
    "read_rollback",
    "register",
    "roll_back",
    "watch_aliases",
]
