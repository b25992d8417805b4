"""The process around the keeper: its lock, its socket, its notes, its end."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters import cgroup, processes
from airflow_ai_provider.adapters.keeper import KeeperPlace, address_of
from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.services.keeper import Keeper
from airflow_ai_provider.services.keeper_clerk import Clerk
from airflow_ai_provider.services.keeper_desk import Answers, ThreadDesk
from airflow_ai_provider.services.keeper_drivers import HostDrivers
from airflow_ai_provider.services.keeper_ports import Leases

log = logging.getLogger("airflow_ai_provider.keeper")

IDLE_EXIT = 5.0  # seconds without any lease
_LARGEST_LOG = 1_000_000  # bytes
_LARGEST_MESSAGE = 65_536


def run(*, started: float, uid: int) -> None:
    """Read the place from standard input, leave the parent, and keep its leases."""
    # a line, and not all there is: a child that a holder forks meanwhile has our input open too
    place = KeeperPlace(**json.loads(sys.stdin.readline()))
    if os.fork():
        os._exit(0)  # the one who started us waits for this, and is our parent no more
    os.umask(0o077)
    lock = os.open(place.lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another keeper lives
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    cgroup.leave()  # started by a holder, it is to outlive it
    _log_to(place.log_path)
    _Server(place, uid).serve(started)


class FileNotes:
    """The keeper's notes in a file; of another boot, or half written, they say nothing."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id

    def load(self) -> dict[str, dict[str, Any]]:
        """Return what the keeper before noted."""
        try:
            document = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return document["leases"] if document.get("boot_id") == self._boot_id else {}

    def save(self, notes: dict[str, dict[str, Any]]) -> None:
        """Note this for the keeper after."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps({"boot_id": self._boot_id, "leases": notes}))
            new.replace(self._path)
        except OSError as error:
            log.warning("the keeper's notes are not written: %s", error)


class _Server:
    """Listens for holders and turns the keeper's steps."""

    def __init__(self, place: KeeperPlace, uid: int) -> None:
        self.place = place
        self.uid = uid
        self.selector = selectors.DefaultSelector()
        self.buffers: dict[socket.socket, bytes] = {}
        self.watched: dict[str, int] = {}  # lease id -> pidfd
        self.wake_in, self.wake_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.answers = Answers(self._wake)
        self.drivers = HostDrivers(place.host_name, place.static_devices)
        self.keeper = Keeper(
            ThreadDesk("leases", self._open_leases, self.answers),
            ThreadDesk("queue", lambda: Clerk(place), self.answers),
            ThreadDesk("drivers", lambda: self.drivers, self.answers),
            processes,
            ttl=place.ttl,
            uid=uid,
            groups=cgroup,
            notes=FileNotes(place.notes_path, place.boot_id),
        )

    def serve(self, started: float) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        listener = self._listen()
        self.selector.register(self.wake_in, selectors.EVENT_READ, self._woken)
        log.info("keeper %d stands for %s", os.getpid(), self.place.host_name)
        busy_at = started
        try:
            while True:
                now = _now()
                pause = self.keeper.step(now)
                self._watch_holders()
                if self.keeper.may_leave(now):
                    log.warning("the store is gone for long, and so is all that held leases of it")
                    break
                if self.keeper.kept or self.buffers:
                    busy_at = now
                elif now - busy_at >= IDLE_EXIT:
                    break
                ready = self.selector.select(min(pause, IDLE_EXIT))
                self.keeper.fence(_now())  # it may have been stopped for long: the clock first
                for key, _ in ready:
                    key.data(key.fileobj)
        finally:
            with suppress(FileNotFoundError):
                self.place.socket_path.unlink()
            listener.close()
            log.info("keeper %d leaves", os.getpid())

    def _open_leases(self) -> Leases:
        from airflow_ai_provider.store.light import LightLeases

        return LightLeases(
            self.place.url,
            host=self.place.host_name,
            boot_id=self.place.boot_id,
            ttl=self.place.ttl,
        )

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # full: it wakes anyhow
            os.write(self.wake_out, b"x")

    def _woken(self, descriptor: int) -> None:
        os.read(descriptor, 4096)
        self.answers.deliver()

    def _listen(self) -> socket.socket:
        with suppress(FileNotFoundError):
            self.place.socket_path.unlink()  # of a keeper that died: we have the lock
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with address_of(self.place.socket_path) as address:
            listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("iii", credentials)[1] not in {self.uid, 0}:
            connection.close()
            return
        connection.setblocking(False)
        self.buffers[connection] = b""
        self.selector.register(connection, selectors.EVENT_READ, self._read)

    def _read(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(_LARGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        *lines, rest = (self.buffers[connection] + received).split(b"\n")
        for line in lines:
            self._obey(line)
        self.buffers[connection] = rest
        if not received or len(rest) > _LARGEST_MESSAGE:
            self.selector.unregister(connection)
            del self.buffers[connection]
            connection.close()

    def _obey(self, line: bytes) -> None:
        try:
            message: dict[str, Any] = json.loads(line)
            match message["op"]:
                case "hold":
                    holder = Process(pid=message["pid"], start=message["start"], uid=message["uid"])
                    self.drivers.declare(message["static"])
                    self.keeper.hold(
                        message["lease"], message["fence"], holder, _now(), asked_at=message["at"]
                    )
                case "left":
                    known = {Process(pid=p, start=s, uid=u) for p, s, u in message["known"]}
                    pid, start, uid = message["spared"]
                    spared = Process(pid=pid, start=start, uid=uid)
                    self.keeper.left(
                        message["lease"], message["fence"], known, _now(), spared=spared
                    )
                case "drop":
                    self.keeper.drop(message["lease"])
                case "look":
                    self.keeper.look_soon()
        except (ValueError, KeyError, TypeError):
            log.warning("a message means nothing: %r", line[:200])

    def _watch_holders(self) -> None:
        for lease_id in self.watched.keys() - self.keeper.kept.keys():
            self._unwatch(lease_id)
        for kept in list(self.keeper.kept.values()):
            if kept.holder is None or kept.ending is not None or kept.id in self.watched:
                continue
            try:
                descriptor = os.pidfd_open(kept.holder.pid)
            except ProcessLookupError:
                self.keeper.holder_died(kept.id, _now())
                continue
            if not processes.is_alive(kept.holder):  # the pid is another process's by now
                os.close(descriptor)
                self.keeper.holder_died(kept.id, _now())
                continue
            self.watched[kept.id] = descriptor
            self.selector.register(
                descriptor, selectors.EVENT_READ, lambda _fd, lease_id=kept.id: self._died(lease_id)
            )

    def _died(self, lease_id: str) -> None:
        self._unwatch(lease_id)
        self.keeper.holder_died(lease_id, _now())

    def _unwatch(self, lease_id: str) -> None:
        descriptor = self.watched.pop(lease_id)
        self.selector.unregister(descriptor)
        os.close(descriptor)

    @staticmethod
    def _stop(*_: object) -> None:
        raise SystemExit(0)  # a flag would only be seen when the selector returns


def _now() -> float:
    """Return seconds since boot: a machine that slept, or a keeper that was stopped, is late."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _log_to(path: str) -> None:
    with suppress(OSError):
        if path != os.devnull and Path(path).stat().st_size > _LARGEST_LOG:
            Path(path).unlink()
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
