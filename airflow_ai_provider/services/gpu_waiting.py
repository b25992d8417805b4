"""Waiting for GPU slots: one thread and one connection for every ticket of a process.

Who waits is called back when the ticket changes. In quiet the watch asks the store once in five
seconds, for all tickets together; in that look it also finds what nobody else may see: a change
that was never planned because its planner died, waiters and holders that are gone.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.errors import AirflowAiError, StoreUnavailableError
from airflow_ai_provider.core.gpu.lease import TicketView
from airflow_ai_provider.services.keepers import KeeperPort
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_rows import lease_clock
from airflow_ai_provider.store.gpu_signals import Signals, signals_of
from airflow_ai_provider.store.gpu_wait import Look, granted, look, views

if TYPE_CHECKING:
    import sqlalchemy as sa

    from airflow_ai_provider.services.gpu import GpuPool

log = logging.getLogger(__name__)

LOOK_EVERY = 5.5  # seconds, in quiet: at most one query in five
LOOK_SOON = 1.0  # seconds, while something happens
_LINGER = 2.0  # seconds that the thread stays after the last ticket left
_RETRY = 1.0

Callback = Callable[[TicketView | None], None]


class WatchedPool(Protocol):
    """What a watch needs of ``services.gpu.GpuPool``."""

    gpu: GpuStore
    keeper: KeeperPort


@dataclass(eq=False)
class _Subscription:
    ticket: str
    callback: Callback
    told: bool = False
    last: TicketView | None = None
    ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, view: TicketView | None) -> None:
        with self._lock:
            if self.ended or (self.told and view == self.last):
                return
            self.told, self.last = True, view
        try:
            self.callback(view)
        except Exception:  # one who waits must not end the wait of the others
            log.exception("A callback for ticket %s failed", self.ticket)


class TicketWatch:
    """The tickets of one store that this process waits with."""

    def __init__(self, pool: WatchedPool, *, signals: Callable[[], Signals] | None = None) -> None:
        self._gpu = pool.gpu
        self._keeper = pool.keeper
        self._open_signals = signals or (lambda: signals_of(pool.gpu.store))
        self._lock = threading.Lock()
        self._by_ticket: dict[str, list[_Subscription]] = {}
        self._fresh: list[_Subscription] = []
        self._signals: Signals | None = None
        self._thread: threading.Thread | None = None
        self._hurried = False
        self._unknown: set[str] = set()  # tickets that nobody presented yet
        self._change: int | None = None  # as of the last look

    def subscribe(self, ticket_id: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with how the ticket stands, at once and at every change.

        It is called in the watch's thread and must not block; None means that nobody presented the
        ticket. A store that is away is asked again until it answers. Return what ends this.
        """
        subscription = _Subscription(ticket=ticket_id, callback=callback)
        with self._lock:
            self._by_ticket.setdefault(ticket_id, []).append(subscription)
            self._fresh.append(subscription)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="gpu-ticket-watch", daemon=True
                )
                self._thread.start()
            signals = self._signals
        if signals is not None:
            signals.wake()

        def end() -> None:
            subscription.ended = True
            with self._lock:
                left = self._by_ticket.get(ticket_id, [])
                if subscription in left:
                    left.remove(subscription)
                if not left:
                    self._by_ticket.pop(ticket_id, None)
                    self._unknown.discard(ticket_id)

        return end

    def wait(self, ticket_id: str, timeout: float | None = None) -> TicketView | None:
        """Wait until coming back with the ticket would change something, or ``timeout`` seconds.

        Return how it stands then; None when nobody presented it.

        :raises StoreUnavailableError: the store did not answer all that time.
        """
        news: queue.SimpleQueue[TicketView | None] = queue.SimpleQueue()
        deadline = None if timeout is None else time.monotonic() + timeout
        end = self.subscribe(ticket_id, news.put)
        seen: list[TicketView | None] = []
        try:
            while not seen or (seen[-1] is not None and not seen[-1].may_be_claimed):
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                seen.append(news.get(timeout=left))
        except queue.Empty:
            if not seen:
                raise StoreUnavailableError(
                    f"The store {self._gpu.store.safe_url} did not answer within {timeout:g} s.",
                    remedy="Check that the database is up.",
                ) from None
        finally:
            end()
        return seen[-1]

    def hurry(self) -> None:
        """Look within a second: something was left to another planner, who may have died."""
        with self._lock:
            self._hurried = True
            signals = self._signals
        if signals is not None:
            signals.wake()

    # --- in the watch's own thread ---------------------------------------------------------------

    def _run(self) -> None:
        while True:
            signals: Signals | None = None
            try:
                signals = self._open_signals()
                with self._lock:
                    self._signals = signals
                    self._fresh = [s for subs in self._by_ticket.values() for s in subs]
                if self._watch(signals):
                    return
            except (AirflowAiError, OSError) as error:
                if self._is_over():
                    return
                log.warning("Looking again in %g s: %s", _RETRY, error)
                time.sleep(_RETRY)
            except BaseException:  # whoever asks next must not count on a thread that ended
                with self._lock:
                    self._thread = None
                raise
            finally:
                with self._lock:
                    self._signals = None
                if signals is not None:
                    signals.close()

    def _is_over(self) -> bool:
        with self._lock:
            if not self._by_ticket:
                self._thread = None
            return self._thread is None

    def _watch(self, signals: Signals) -> bool:
        """Watch until the last ticket left; True when the thread may end."""
        now = time.monotonic()
        looked, next_look, last_use = now, now + LOOK_SOON, now
        while True:
            with self._lock:
                fresh, self._fresh = self._fresh, []
                hurried, self._hurried = self._hurried, False
                if self._by_ticket:
                    last_use = now
                elif now - last_use > _LINGER:
                    self._thread = None
                    return True
                idle = not self._by_ticket
            if fresh:
                self._greet(signals, {subscription.ticket for subscription in fresh})
            if hurried:
                next_look = min(next_look, looked + LOOK_SOON)
            if now >= next_look and not idle:
                soon = self._look(signals)
                looked, next_look = now, now + (LOOK_SOON if soon else LOOK_EVERY)
            heard = signals.wait((_LINGER if idle else next_look - now) if not self._fresh else 0)
            now = time.monotonic()
            if heard is None:
                self._hear_of_anything(signals)
                next_look = min(next_look, looked + LOOK_SOON)
            elif heard:
                self._hear(signals, heard)

    def _greet(self, signals: Signals, ids: set[str]) -> None:
        signals.adopt(ids)  # first: what is granted after the look is told
        with signals.read() as connection:
            found = views(connection, ids)
        self._unknown = (self._unknown | ids) - found.keys()
        for ticket in ids:
            self._tell(ticket, found.get(ticket))

    def _hear(self, signals: Signals, told: frozenset[str]) -> None:
        mine = self._watched(told)
        if mine:
            with signals.read() as connection:
                found = views(connection, mine)
            for ticket in mine:
                self._tell(ticket, found.get(ticket))

    def _hear_of_anything(self, signals: Signals) -> None:
        with signals.read() as connection:
            found = granted(connection)
        for ticket, view in found.items():
            self._tell(ticket, view)

    def _look(self, signals: Signals) -> bool:
        """Look at everything; True when to look again soon."""
        ids = self._watched(None)
        here = self._gpu.here.name
        with signals.read() as connection:
            found = look(connection, ids, host=here, uid=os.getuid())
            now = self._time(connection, found)
        for ticket in ids:
            self._tell(ticket, found.tickets.get(ticket))
        if came := self._unknown.intersection(found.tickets):
            self._greet(signals, came)
        self._care(found)
        forgotten = found.change is not None and found.change == self._change
        ran_out = found.earliest_end is not None and found.earliest_end <= now
        self._change = None if forgotten else found.change
        if forgotten or ran_out:
            self._gpu.tick()
        return found.change is not None or ran_out

    def _time(self, connection: sa.Connection, found: Look) -> float:
        if found.earliest_end is None:
            return 0.0
        if found.now is not None and self._gpu.clock is lease_clock:
            return found.now
        return self._gpu.clock(connection)

    def _care(self, found: Look) -> None:
        """Take tickets of dead waiters out, and wake the keeper where a holder is gone.

        The keeper may have died with the holder.
        """
        for waiter in found.waiters:
            if not processes.is_alive(waiter):
                log.info("Process %s, which waited for GPUs, is gone", waiter.pid)
                self._gpu.withdraw_waiter(waiter, reason="the process that waited is gone")
        if found.doubtful or any(not processes.is_alive(p) for p in found.holders):
            self._keeper.look()

    def _watched(self, ids: frozenset[str] | None) -> list[str]:
        with self._lock:
            return [t for t in self._by_ticket if ids is None or t in ids]

    def _tell(self, ticket: str, view: TicketView | None) -> None:
        with self._lock:
            subscriptions = list(self._by_ticket.get(ticket, ()))
        for subscription in subscriptions:
            subscription.tell(view)


def watch_of(pool: GpuPool) -> TicketWatch:
    """Return this process's watch over the tickets of the pool's store."""
    store = pool.gpu.store
    in_memory = store.is_sqlite and store.path is None
    key = (str(id(store)) if in_memory else store.full_url, pool.here.name, os.getpid())
    with _watches_lock:
        if key not in _watches:
            for old in [k for k in _watches if k[2] != os.getpid()]:
                del _watches[old]  # the parent's, before a fork
            _watches[key] = TicketWatch(pool)
        return _watches[key]


_watches: dict[tuple[str, str, int], TicketWatch] = {}
_watches_lock = threading.Lock()


def _new_lock() -> None:
    global _watches_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _watches_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)
