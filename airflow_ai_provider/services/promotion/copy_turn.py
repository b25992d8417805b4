"""Whose turn it is to copy a version: a guarded row of the store, as moves have.

MLflow makes a version whenever it is asked. Two tasks that copy the same version would make two on
the target, each of which is a copy and none of which is wrong.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

from airflow_ai_provider.core.errors import (
    PromotionConflictError,
    RegistryError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.core.promotion.copying import ModelDescription
from airflow_ai_provider.services.promotion.moving import take_claim
from airflow_ai_provider.store.promotion import Claim, Promotions

LIMIT = timedelta(minutes=10)  # one file is fetched or stored well within
_RENEW_AFTER = 5.0  # seconds

_Made = TypeVar("_Made")


class CopyTurn:
    """The turn of ``copied_by`` to copy ``model``, for the length of a ``with`` block.

    A task that died leaves its turn to its own retry at once, to any other after ``LIMIT``. What is
    left of an earlier try of the same task makes no version once the later try has begun.
    """

    def __init__(
        self, model: ModelDescription, copied_by: str, promotions: Promotions, patience: float
    ) -> None:
        self._told = model.told
        self._promotions = promotions
        self._patience = patience
        self._unknown = False
        self._renewed = time.monotonic()
        self._claim = Claim(
            model_name=f"copy:{model.key}",  # no model's name: MLflow takes none with a colon
            key=f"copy:{digest(copied_by)}",
            by=f"{copied_by[:200]} ({uuid.uuid4().hex[:8]})",
            move={"version": model.version},
        )

    def __enter__(self) -> CopyTurn:
        left = self._promotions.abandoned(self._claim.model_name)
        if left is not None:
            self._promotions.release(left)
        try:
            take_claim(self._claim, self._promotions, self._patience)
        except PromotionConflictError as error:
            raise PromotionConflictError(
                f"{error.facts['winner']} is copying {self._told} right now.",
                remedy="Try again when it is done.",
                in_progress=True,
                winner=error.facts["winner"],
            ) from error
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if not self._unknown:
            self._promotions.release(self._claim)

    def go_on(self) -> None:
        """Say that this task is alive.

        :raises PromotionConflictError: another took this one for dead.
        """
        if time.monotonic() - self._renewed > _RENEW_AFTER:
            self._renew()

    def make(self, create: Callable[[], _Made]) -> _Made:
        """Return what ``create`` made; only while it is still this task's turn.

        :raises PromotionConflictError: it no longer is.
        """
        self._renew()
        self._unknown = True  # until the server has said whether there is a version
        try:
            made = create()
        except RegistryUnavailableError:
            raise  # the turn stays for the retry, which looks for the version
        except RegistryError:
            self._unknown = False
            raise
        self._unknown = False
        return made

    def _renew(self) -> None:
        self._promotions.renew(self._claim)
        self._renewed = time.monotonic()
