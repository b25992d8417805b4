"""Waiting for a lease in the process that wants it, for as long as the request says."""

from __future__ import annotations

import logging
import math
import queue
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_ai_provider.core.errors import (
    AirflowAiError,
    GpuWaitTimeoutError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.gpu.lease import Ticket, TicketView
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.wait_reasons import sentence
from airflow_ai_provider.services.gpu_lease import Lease, is_held, this_process
from airflow_ai_provider.services.gpu_waiting import watch_of

if TYPE_CHECKING:
    from airflow_ai_provider.services.gpu import GpuPool

log = logging.getLogger(__name__)

_ASK_AGAIN = 1.0
_SAY_AGAIN = 30.0


def acquire(pool: GpuPool, ticket: Ticket) -> Lease:
    """Wait for a lease, as long as the request's ``max_wait`` says.

    :raises GpuRequestError: as ``try_acquire``.
    :raises GpuWaitTimeoutError: the wait was too long; ``facts["reason"]`` names why.
    """
    ticket = replace(ticket, process_waits=True)
    max_wait = ticket.request.max_wait
    deadline = None if max_wait is None else time.monotonic() + max_wait
    try:
        lease = _ask(pool, ticket, deadline)
        while lease is None:
            _wait(pool, ticket, deadline)
            lease = _ask(pool, ticket, deadline, told=True)
    except BaseException:  # who is interrupted must not keep its place
        with suppress(AirflowAiError):
            _give_up(pool, ticket)
        raise
    return lease


def waited_too_long(request: GpuRequest, reason: str) -> GpuWaitTimeoutError:
    """Return the error of a wait that was longer than ``max_wait``."""
    return GpuWaitTimeoutError(
        f"No lease for {request.describe()} within {request.max_wait:g} s. {sentence(reason)}",
        remedy="Raise max_wait or the priority; `airflow-ai gpu status` shows who holds what.",
        reason=reason,
    )


def _ask(
    pool: GpuPool, ticket: Ticket, deadline: float | None, *, told: bool = False
) -> Lease | None:
    """Ask until the store answers: it may have granted the lease and been unable to say so."""
    pause = 0.0
    while True:
        if pause:
            time.sleep(pause)
        try:
            return (told and pool.try_claim(ticket)) or pool.try_acquire(ticket)
        except StoreUnavailableError as error:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            pause = _ASK_AGAIN
            log.warning("Asking again in %g s: %s", pause, error)


def _give_up(pool: GpuPool, ticket: Ticket) -> None:
    pool.withdraw(ticket.id, reason="the one who asked gave up")
    me = this_process()
    for record in pool.gpu.leases(mine=True, uid=me.uid):
        claimed = record.request_id == ticket.id and record.process == me
        if claimed and not is_held(record):  # and nobody here knows
            pool.gpu.release(record.id, record.fence, reason="the one who asked gave up")


def _wait(pool: GpuPool, ticket: Ticket, deadline: float | None) -> None:
    """Return when coming back with ``ticket`` would change something."""
    news: queue.SimpleQueue[TicketView | None] = queue.SimpleQueue()
    end = watch_of(pool).subscribe(ticket.id, news.put)
    reason: str | None = None
    try:
        while True:
            left = math.inf if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise waited_too_long(ticket.request, reason or "")
            try:
                view = news.get(timeout=min(left, _SAY_AGAIN))
            except queue.Empty:
                pass  # say again what it waits for
            else:
                if view is None or view.may_be_claimed:
                    return
                if view.reason == reason:
                    continue
                reason = view.reason
            what = ticket.request.describe()
            log.info("Waiting for %s: %s", what, sentence(reason or ""))
    finally:
        end()
