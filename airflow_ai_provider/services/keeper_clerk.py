"""The keeper's clerk: a process of its own for what needs SQLAlchemy, gone when there is no more.

Releasing a lease plans the queue, and that takes the whole store: 30 MB more than renewing does.
The keeper lives as long as any lease; the clerk is started when a lease must end otherwise than by
its holder, and leaves after some quiet. One JSON line asks, one answers.
"""

from __future__ import annotations

import json
import logging
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.adapters.keeper import KeeperPlace, program_environment
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    LeaseLostError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.gpu.devices import (
    Device,
    DeviceKind,
    Health,
    PartialView,
    Topology,
)
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.tenure import Alarm

PROGRAM = "airflow_ai_provider.services.keeper_clerk"
_QUIET = 60.0  # seconds without a question
_ERRORS = (LeaseLostError, StoreNotFoundError, StoreUnavailableError)

log = logging.getLogger(__name__)


class Clerk:
    """The keeper's side: the port ``services.keeper_ports.Queue``, done by another process."""

    def __init__(self, place: KeeperPlace) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def warm(self) -> None:
        """Start the process, so that it is ready when it is needed."""
        self._running()

    def doubt(self, lease_id: str, fence: int, reason: str) -> None:
        """Make a lease suspect for good."""
        self._ask("doubt", lease_id, fence, reason)

    def quarantine(self, lease_id: str, fence: int, reason: str) -> None:
        """Set a lease aside."""
        self._ask("quarantine", lease_id, fence, reason)

    def release(self, lease_id: str, fence: int, reason: str) -> None:
        """End a lease and plan the queue."""
        self._ask("release", lease_id, fence, reason)

    def restart(self) -> None:
        """End what leases this host had before its last boot."""
        self._ask("restart")

    def register(self, devices: Sequence[Device]) -> None:
        """Note the devices of this host as they are now."""
        view = None
        if isinstance(devices, PartialView):
            view = {"missing": devices.missing, "why": devices.why}
        self._ask("register", [asdict(device) for device in devices], view)

    def note_faults(self, faults: Sequence[Fault]) -> None:
        """Keep devices that reported faults from being granted."""
        self._ask("note_faults", [asdict(fault) for fault in faults])

    def alarm(self, alarm: Alarm) -> None:
        """Write an alarm into the ledger."""
        self._ask("alarm", asdict(alarm))

    def _ask(self, what: str, *arguments: Any) -> None:
        question = json.dumps([what, *arguments]).encode() + b"\n"
        for last in (False, True):  # one that left for quiet is started again
            process = self._running()
            try:
                answer = self._exchange(process, question)
            except BrokenPipeError:
                answer = b""
            if answer:
                _raise(json.loads(answer))
                return
            process.kill()
            process.wait()
            self._process = None
            if last:
                raise StoreError("The keeper's clerk does not stand.", remedy="See its log.")

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], question: bytes) -> bytes:
        assert process.stdin is not None  # noqa: S101 - for the type checker: both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(question)
        process.stdin.flush()
        return process.stdout.readline()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=program_environment(),
            )
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.write(json.dumps(asdict(self._place)).encode() + b"\n")
            self._process.stdin.flush()
        return self._process


def _raise(answer: dict[str, Any]) -> None:
    if answer["error"] is None:
        return
    kinds = {kind.__name__: kind for kind in _ERRORS}
    raise kinds.get(answer["error"], AirflowAiError)(answer["message"])


def main() -> None:
    """Answer until nobody asks any more."""
    asked = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - what is buffered, select misses
    place = KeeperPlace(**json.loads(asked.readline()))
    logging.basicConfig(
        filename=place.log_path, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    store = None
    while select.select([asked], [], [], _QUIET)[0]:
        line = asked.readline()
        if not line:
            return
        error: Exception | None = None
        try:
            if store is None:
                store = _open(place)
            what, *arguments = json.loads(line)
            _do(store, what, arguments)
        except Exception as problem:  # who asked is told, and the clerk goes on
            error = problem
            if not isinstance(problem, AirflowAiError):
                log.exception("the keeper's clerk failed")
        answer = {"error": type(error).__name__ if error else None, "message": str(error or "")}
        with suppress(BrokenPipeError):
            sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
            sys.stdout.buffer.flush()


def _open(place: KeeperPlace) -> Any:
    from airflow_ai_provider.core.gpu.lease import Host
    from airflow_ai_provider.store.engine import Store
    from airflow_ai_provider.store.gpu import GpuStore
    from airflow_ai_provider.store.gpu_keeper import KeeperStore

    host = Host(name=place.host_name, boot_id=place.boot_id)
    return KeeperStore(GpuStore(Store.open(place.url, create=False), host, ttl=place.ttl))


def _do(store: Any, what: str, arguments: list[Any]) -> None:
    match what:
        case "register":
            devices = tuple(_device(document) for document in arguments[0])
            if (view := arguments[1]) is not None:
                missing = Health(view["missing"]) if view["missing"] else None
                devices = PartialView(devices, missing=missing, why=view["why"])
            store.register(devices)
        case "note_faults":
            store.note_faults([Fault(**document) for document in arguments[0]])
        case "alarm":
            store.alarm(Alarm(**arguments[0]))
        case "doubt" | "quarantine" | "release" | "restart":
            getattr(store, what)(*arguments)


def _device(document: dict[str, Any]) -> Device:
    topology = document.pop("topology")
    if topology is not None:
        topology = Topology(
            bus=topology["bus"],
            nvlink=tuple(topology["nvlink"]),
            near=tuple((uuid, level) for uuid, level in topology["near"]),
        )
    kind, health = DeviceKind(document.pop("kind")), Health(document.pop("health"))
    return Device(**document, kind=kind, health=health, topology=topology)


if __name__ == "__main__":
    main()
