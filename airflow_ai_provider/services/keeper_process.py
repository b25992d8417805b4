"""The process around the keeper: its lock, its socket, its end."""

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

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.adapters.keeper import KeeperPlace, address_of
from airflow_ai_provider.core.gpu.lease import Host, Process
from airflow_ai_provider.services.keeper import Keeper, Leases

log = logging.getLogger("airflow_ai_provider.keeper")

IDLE_EXIT = 5.0  # seconds without any lease
_LARGEST_LOG = 1_000_000  # bytes
_LARGEST_MESSAGE = 65_536


def run(*, started: float, uid: int) -> None:
    """Read the place from standard input, leave the parent, and keep its leases."""
    place = KeeperPlace(**json.load(sys.stdin))
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
    _log_to(place.log_path)
    _Server(place, uid).serve(started)


class _Server:
    """Listens for holders and turns the keeper's steps."""

    def __init__(self, place: KeeperPlace, uid: int) -> None:
        self.place = place
        self.uid = uid
        self.keeper = Keeper(self._open_leases, processes, ttl=place.ttl, uid=uid)
        self.selector = selectors.DefaultSelector()
        self.buffers: dict[socket.socket, bytes] = {}
        self.watched: dict[str, int] = {}  # lease id -> pidfd

    def serve(self, started: float) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        listener = self._listen()
        log.info("keeper %d stands for %s", os.getpid(), self.place.host_name)
        busy_at = started
        try:
            while True:
                now = time.monotonic()
                pause = self.keeper.step(now)
                self._watch_holders()
                if self.keeper.kept or self.buffers:
                    busy_at = now
                elif now - busy_at >= IDLE_EXIT:
                    break
                for key, _ in self.selector.select(min(pause, IDLE_EXIT)):
                    key.data(key.fileobj)
        finally:
            with suppress(FileNotFoundError):
                self.place.socket_path.unlink()
            listener.close()
            log.info("keeper %d leaves", os.getpid())

    def _open_leases(self) -> Leases:
        from airflow_ai_provider.store.engine import Store
        from airflow_ai_provider.store.gpu import GpuStore

        host = Host(name=self.place.host_name, boot_id=self.place.boot_id)
        return GpuStore(Store.open(self.place.url, create=False), host, ttl=self.place.ttl)

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
                    self.keeper.hold(message["lease"], message["fence"], holder)
                case "left":
                    known = {Process(pid=p, start=s, uid=u) for p, s, u in message["known"]}
                    self.keeper.left(message["lease"], message["fence"], known, time.monotonic())
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
            if kept.holder is None or kept.ending_since is not None or kept.id in self.watched:
                continue
            try:
                descriptor = os.pidfd_open(kept.holder.pid)
            except ProcessLookupError:
                self.keeper.holder_died(kept.id, time.monotonic())
                continue
            if not processes.is_alive(kept.holder):  # the pid is another process's by now
                os.close(descriptor)
                self.keeper.holder_died(kept.id, time.monotonic())
                continue
            self.watched[kept.id] = descriptor
            self.selector.register(
                descriptor, selectors.EVENT_READ, lambda _fd, lease_id=kept.id: self._died(lease_id)
            )

    def _died(self, lease_id: str) -> None:
        self._unwatch(lease_id)
        self.keeper.holder_died(lease_id, time.monotonic())

    def _unwatch(self, lease_id: str) -> None:
        descriptor = self.watched.pop(lease_id)
        self.selector.unregister(descriptor)
        os.close(descriptor)

    @staticmethod
    def _stop(*_: object) -> None:
        raise SystemExit(0)  # a flag would only be seen when the selector returns


def _log_to(path: str) -> None:
    with suppress(OSError):
        if path != os.devnull and Path(path).stat().st_size > _LARGEST_LOG:
            Path(path).unlink()
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
