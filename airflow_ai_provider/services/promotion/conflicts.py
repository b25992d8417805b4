"""Somebody else moved the model: who it was, and the alarm when it was nobody of ours."""

from __future__ import annotations

from contextlib import suppress

from airflow_ai_provider.core.errors import PromotionConflictError, RegistryError
from airflow_ai_provider.core.promotion.environments import EnvironmentPath
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.timeline import holder
from airflow_ai_provider.services.promotion.watching import watch_aliases
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions

OUTSIDE = "somebody outside Airflow"


def refused(
    model_name: str,
    environment: str,
    expected: str | None,
    found: str | None,
    ledger: Ledger,
    *,
    own_key: str | None = None,
) -> PromotionConflictError:
    """Return the error that says who moved the alias away from ``expected``.

    ``own_key`` is that of the claim which the asker holds: it did not move the alias.
    """
    now = Promotions(ledger.store).claimed(model_name)  # first: it falls when it is on record
    last = holder(model_name, environment, ledger=ledger)
    by_us = last is not None and last.evidence["to"] == found
    who = (last.evidence["moved_by"] if last and by_us else None) or OUTSIDE
    under_way = now is not None and now.key != own_key and now.move["version"] == found
    if now and under_way and not by_us and now.move["environment"] == environment:
        by_us, who = True, now.by  # its move is made and not yet on record
    return PromotionConflictError(
        f"{model_name}@{environment} names {found or 'no version'}, "
        f"not {expected or 'none'} as expected: moved by {who}.",
        remedy="Judge against what is there now"
        + ("." if by_us else ", or pass expected to take over what was moved by hand."),
        winner=who,
        expected=expected,
        found=found,
    )


def reported(
    error: PromotionConflictError,
    model_name: str,
    environment: str,
    *,
    ledger: Ledger,
    registry: ModelRegistry,
) -> PromotionConflictError:
    """Return the error with the alarm that goes with it, when nobody of ours moved the alias."""
    if error.facts.get("winner") != OUTSIDE:
        return error
    alarm = _alarm(model_name, environment, ledger, registry)
    said = error.message if alarm is None else f"{error.message} Alarm {alarm} is on record."
    return PromotionConflictError(said, remedy=error.remedy, **{**error.facts, "alarm": alarm})


def _alarm(
    model_name: str, environment: str, ledger: Ledger, registry: ModelRegistry
) -> str | None:
    """Raise the alarm about this environment and return its record; None when there is no drift."""
    here = EnvironmentPath(names=(environment,), decision_from=environment)
    with suppress(RegistryError):  # the refusal stands, with or without an alarm
        for drift in watch_aliases(model_name, ledger=ledger, registry=registry, path=here):
            if drift["is_holder"]:
                return str(drift["alarm"])
    return None
