"""Stores for the GPU benchmarks, each with devices and keepers of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_ai_provider.adapters.keeper import PROGRAM as KEEPER
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.postgres import postgres_running

KINDS = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A store and the environment of those who use it."""

    kind: str
    url: str
    folder: Path
    environment: dict[str, str]

    def keeper(self, *, timeout: float = 30) -> int:
        """Return the pid of the keeper, once it stands."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if found := self.keepers():
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no keeper stands for {self.kind}")

    def keepers(self) -> list[int]:
        """Return the keepers that live."""
        said = f"TMPDIR={self.folder}".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [
            pid
            for pid in pids
            if KEEPER.encode() in _proc(pid, "cmdline")
            and said in _proc(pid, "environ").split(b"\0")
        ]


@contextmanager
def bench(kind: str, *, devices: int) -> Iterator[Bench]:
    """Yield an empty store; this process's environment points to it meanwhile."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if kind == "SQLite":
            url = f"sqlite:///{folder / 'airflow_ai.db'}"
            Store.open(url).close()
        else:
            server = stack.enter_context(postgres_running())
            url = stack.enter_context(server.database())
            store = Store(url)
            migrate(store)
            store.close()
        ours = {
            "TMPDIR": str(folder),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(
                {"conn_type": "ai_store", "extra": {"url": url}}
            ),
            "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": ",".join(f"cpu:{n}" for n in range(devices)),
            "AIRFLOW__AI_PROVIDER__DEVICE_HOST": "bench",
        }
        before = dict(os.environ)
        for name in [n for n in os.environ if n.startswith("AIRFLOW")]:
            del os.environ[name]
        os.environ.update(ours)
        tempfile.tempdir = None  # was decided before TMPDIR was said
        found = Bench(kind=kind, url=url, folder=folder, environment=dict(os.environ))
        try:
            yield found
        finally:
            for pid in found.keepers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None


def program(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of the benchmarks in a process of its own."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
