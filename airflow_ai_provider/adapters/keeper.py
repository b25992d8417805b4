"""The way to this host's keeper: where it listens, how it is started, what it is told.

The keeper is one small process per host, user and store. A holder tells it what it holds and stays
connected: the keeper learns of the holder's death from the kernel, the holder of the keeper's from
the connection, and starts another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import GpuError
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE, Process

log = logging.getLogger(__name__)

PROGRAM = "airflow_ai_provider.services.keeper"
_LONGEST_ADDRESS = 100  # bytes; the kernel takes 107
_START_TIMEOUT = 20.0
_START_AGAIN = 3.0  # seconds: one that was started may have died before it answered
_RETRY = 1.0


@dataclass(frozen=True, kw_only=True)
class KeeperPlace:
    """What a keeper works for: a store, as the host ``host_name`` with this boot."""

    url: str
    host_name: str
    boot_id: str
    ttl: float
    log_path: str = os.devnull
    static_devices: str = ""

    @property
    def digest(self) -> str:
        """What tells this place from every other, in a name short enough for a socket."""
        text = "\0".join([self.url, self.host_name])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def lock_path(self) -> Path:
        """The file that the living keeper has locked."""
        return private_folder() / f"{self.digest}.lock"

    @property
    def socket_path(self) -> Path:
        """The socket on which the keeper listens."""
        return private_folder() / f"{self.digest}.sock"

    @property
    def notes_path(self) -> Path:
        """Where a keeper notes, for the one after it, what the store does not know."""
        return private_folder() / f"{self.digest}.notes"


def private_folder() -> Path:
    """Return this user's folder for keepers, made if need be.

    :raises GpuError: somebody else owns it, or may write to it.
    """
    path = Path(tempfile.gettempdir()) / f"airflow-ai-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise GpuError(
            f"The folder {path} is not this user's alone.", remedy="Remove it, or set TMPDIR."
        )
    return path


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield an address for the socket at ``path`` that is never too long for the kernel."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class KeeperClient:
    """This process's connection to the keeper of one place; safe to use from several threads."""

    def __init__(self, place: KeeperPlace) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, Any]] = {}
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)

    def hold(self, lease_id: str, *, fence: int, pid: int, start: int, uid: int) -> None:
        """Have a lease of the process ``pid`` renewed and watched, by a new keeper if need be."""
        message = {
            "op": "hold", "lease": lease_id, "fence": fence, "pid": pid, "start": start, "uid": uid,
            "at": time.clock_gettime(time.CLOCK_BOOTTIME), "static": self.place.static_devices,
        }  # fmt: skip
        with self._lock:
            self._held[lease_id] = message
            self._send(message)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._stay_connected, name="gpu-keeper", daemon=True
                )
                self._thread.start()

    def drop(self, lease_id: str) -> None:
        """Say that a lease was released."""
        with self._lock:
            if self._held.pop(lease_id, None) is None:
                return
            self._send({"op": "drop", "lease": lease_id})
            if not self._held and self._connection is not None:
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)  # wakes the thread, which ends

    def left(
        self, lease_id: str, fence: int, processes: Iterable[Process], *, holder: Process
    ) -> None:
        """Say that ``holder`` released a lease while these processes that it started still run.

        Of the holder itself the device may still show a context: it is waited for, and spared.
        """
        known = [[p.pid, p.start, p.uid] for p in processes]
        spared = [holder.pid, holder.start, holder.uid]
        self._tell(
            {"op": "left", "lease": lease_id, "fence": fence, "known": known, "spared": spared}
        )
        self.drop(lease_id)

    def look(self) -> None:
        """Have the keeper look into the store now, starting one if there is none."""
        self._tell({"op": "look"})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            with self._connect() as connection:
                connection.sendall(_line(message))
        except (OSError, GpuError) as error:
            log.warning("The keeper of GPU leases cannot be reached: %s", error)

    def _send(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            with suppress(OSError):  # the thread notices, reconnects and says it all again
                self._connection.sendall(_line(message))

    def _stay_connected(self) -> None:
        while True:
            try:
                connection = self._connect()
            except (OSError, GpuError) as error:
                log.warning("The keeper of GPU leases cannot be reached: %s", error)
                connection = None
                time.sleep(_RETRY)
            with self._lock:
                if not self._held:
                    self._thread = None
                    if connection is not None:
                        connection.close()
                    return
                self._connection = connection
                for message in self._held.values():
                    self._send(message)
            if connection is None:
                continue
            with suppress(OSError):
                while connection.recv(4096):
                    pass
            with self._lock:
                self._connection = None
                connection.close()
                if not self._held:
                    self._thread = None
                    return
            log.info("The keeper of GPU leases is gone; starting another.")

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _START_TIMEOUT
        started: subprocess.Popen[bytes] | None = None
        again_at = 0.0
        pause = 0.01
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with address_of(self.place.socket_path) as address:
                    connection.connect(address)
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
            except BaseException:  # an interrupted connect must not leak its descriptor
                connection.close()
                raise
            else:
                return connection
            now = time.monotonic()
            if started is None or started.poll() not in {None, 0} or now > again_at:
                started = start_keeper(self.place)  # of two that start, one finds the lock taken
                again_at = now + _START_AGAIN
            if time.monotonic() > deadline:
                raise GpuError(
                    "It did not start.", remedy=f"Look into its log {self.place.log_path}."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def _forget(self) -> None:
        # in a forked child: the leases, the thread and the connection are the parent's
        self._lock = threading.Lock()
        self._held = {}
        self._thread = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def start_keeper(place: KeeperPlace) -> subprocess.Popen[bytes]:
    """Start a keeper in its own session; the process returned ends when it stands by itself.

    It carries no lease's mark, so that it is never taken for something a holder left.
    """
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env=program_environment(),
    )
    with suppress(BrokenPipeError):
        process.communicate(_line(asdict(place)))
    return process


def program_environment() -> dict[str, str]:
    """Return the environment of the keeper's programs: this package is found, no lease's mark."""
    environment = {k: v for k, v in os.environ.items() if k != LEASE_VARIABLE}
    package_home = str(Path(__file__).resolve().parents[2])
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    environment["PYTHONPATH"] = os.pathsep.join([*paths, package_home])
    return environment


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
