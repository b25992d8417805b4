"""What this process holds: the lease as a value, its block, its environment, its end.

Nothing here asks for devices: see ``services.gpu``, from which all of this may be imported too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from airflow_ai_provider.adapters import cuda, processes
from airflow_ai_provider.core.errors import GpuRequestError, LeaseLostError
from airflow_ai_provider.core.gpu.devices import cuda_visible
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE, LeaseRecord, Process

if TYPE_CHECKING:
    from airflow_ai_provider.services.gpu import GpuPool

log = logging.getLogger(__name__)

# a child just forked is told from what it will be only once it has begun
_LOOK_AT = (0.0, 0.05, 0.15)

_held: dict[tuple[str, int], int] = {}  # lease id and fence -> when this process claimed it
_releasers: dict[tuple[int, str, int], Callable[[], None]] = {}  # the same, after the pid


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Devices held by this process: UUIDs, or static names.

    ``env`` is what programs need that are started under it; while it is held it is also in
    ``os.environ``. ``again`` says that this process held it already when it asked.
    """

    id: str
    fence: int
    host: str
    devices: tuple[str, ...]
    again: bool = False
    since: int = field(default=0, repr=False)

    @property
    def mark(self) -> str:
        """``<id>:<fence>``, which tells this lease from every other."""
        return f"{self.id}:{self.fence}"

    @property
    def env(self) -> dict[str, str]:
        """The lease's mark, and the devices as CUDA is told of them."""
        return {
            LEASE_VARIABLE: self.mark,
            "CUDA_VISIBLE_DEVICES": cuda_visible(self.devices),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }


def hold(record: LeaseRecord, *, since: int, release: Callable[[Lease], None]) -> Lease:
    """Return the lease of ``record``, which this process has claimed; ``release`` gives it back.

    ``since`` is when that was, in clock ticks since boot.
    """
    key = (record.id, record.fence)
    again = key in _held
    lease = Lease(
        id=record.id,
        fence=record.fence,
        host=record.host,
        devices=record.devices,
        again=again,
        since=_held.setdefault(key, since),
    )
    _releasers.setdefault((os.getpid(), *key), lambda: release(lease))
    return lease


def let_go(lease: Lease) -> None:
    """Note that ``lease`` is held no more."""
    _held.pop((lease.id, lease.fence), None)
    _releasers.pop((os.getpid(), lease.id, lease.fence), None)


def is_held(record: LeaseRecord) -> bool:
    """Whether this process knows that it holds the lease of ``record``."""
    return (record.id, record.fence) in _held


@contextmanager
def held(
    pool: GpuPool, lease: Lease, *, keep: Callable[[], bool] = lambda: False
) -> Iterator[Lease]:
    """Keep ``lease`` while the block runs, its ``env`` in ``os.environ``; then release it.

    When ``keep()`` then says so, it stays this process's until the process ends, and the keeper of
    the host releases it.

    :raises LeaseLostError: at the end of the block: the lease was lost while it ran.
    """
    try:
        with _environment(lease.env):
            yield lease
    except BaseException:  # an interrupted block, too, gives its devices back
        with suppress(LeaseLostError):  # the block's own error says more
            _end(pool, lease, keep)
        raise
    _end(pool, lease, keep)


def _end(pool: GpuPool, lease: Lease, keep: Callable[[], bool]) -> None:
    if lease.again:
        return
    if not keep():
        pool.release(lease)
        return
    log.info("GPU lease %s is released when this process ends", lease.id)
    if lease.id not in pool.gpu.renew({lease.id: lease.fence}):
        raise LeaseLostError(
            f"The lease {lease.id} with fence {lease.fence} was lost while it was held.",
            remedy="Treat the work done under it as void and ask again.",
            lease_id=lease.id,
            fence=lease.fence,
        )


def release_held() -> list[str]:
    """Release what this process holds and nobody released; return the ids of the leases.

    What a process that has initialised CUDA holds is released when it has ended.
    """
    mine = [key for key in _releasers if key[0] == os.getpid()]
    if not mine or cuda.initialised_by() is not None:
        return []
    for key in mine:
        with suppress(LeaseLostError):  # then it is not ours to release
            _releasers.pop(key)()
    return [lease_id for _, lease_id, _ in mine]


def left_running(lease: Lease) -> set[Process]:
    """Return what this process started under ``lease`` and left, after a second and third look.

    A child just forked by another thread is told from what it will be only once it has begun; one
    that is ending is gone at the next look.
    """
    left: set[Process] = set()
    for pause in _LOOK_AT:
        if pause:  # to sleep for no time still gives the processor away
            time.sleep(pause)
        left = processes.left_running(mark=lease.mark, root=this_process(), since=lease.since)
        if not left:
            break
    return left


def this_process() -> Process:
    """Return this process, also right after a fork."""
    return _identity(os.getpid())


@cache
def _identity(pid: int) -> Process:
    me = processes.identify(pid)
    if me is None:
        raise GpuRequestError("This process is not to be seen in /proc.", remedy="Use Linux.")
    return me


os.register_at_fork(after_in_child=_identity.cache_clear)  # a pid may come again


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
