"""A store, its holders and its keepers as real processes, and everything that is done to them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from airflow_ai_provider.adapters.keeper import PROGRAM as KEEPER
from tests.faults.checker import unanswered
from tests.faults.clock import identity, now
from tests.faults.observer import Observer

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = 8192  # MiB of each device


class Stage(Observer):
    """Holders on one store; several hosts share this machine under names of their own."""

    def __init__(
        self, folder: Path, url: str, *, hosts: tuple[str, ...], devices: int, ttl: float
    ) -> None:
        super().__init__(folder)
        self.url = url
        self.hosts = hosts
        self.ttl = ttl
        names = [f"npu:{number}" for number in range(devices)]
        self.capacity = {f"{host}/{name}": MEMORY for host in hosts for name in names}
        self.devices = ",".join(f"{name}@{MEMORY}MiB" for name in names)
        self.holders: dict[str, str] = {}  # name -> who
        self._stopped: dict[int, float] = {}  # pid -> when it goes on
        self._seed = 0
        self._nurseries = {host: self._nursery(host) for host in hosts}

    def environment(self, host: str) -> dict[str, str]:
        """Return the environment of every process on ``host``."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        return {
            **inherited,
            "PYTHONPATH": str(REPOSITORY),
            "TMPDIR": str(self.folder),
            "AIRFLOW_CONN_AI_STORE_DEFAULT": self.url,
            "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": self.devices,
            "AIRFLOW__AI_PROVIDER__LEASE_TTL": str(self.ttl),
            "AIRFLOW__AI_PROVIDER__DEVICE_HOST": host,
        }

    def _nursery(self, host: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.holder", str(self.folder)],
            env=self.environment(host),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr.log").open("ab"),
            text=True,
        )

    def start_holder(self, name: str) -> None:
        """Start the holder ``name``, anew if it was killed; ``HOST.NUMBER`` says where."""
        nursery = self._nurseries[name.partition(".")[0]]
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        self._seed += 1
        nursery.stdin.write(f"{name} {self._seed}\n")
        nursery.stdin.flush()
        self.holders[name] = identity(int(nursery.stdout.readline()))
        self.watch.add(self.holders[name])

    def turn(self) -> None:
        """Do as every observer, and let the stopped go on whose time has come."""
        super().turn()
        for pid, until in list(self._stopped.items()):
            if now() >= until:
                del self._stopped[pid]
                _signal(pid, signal.SIGCONT)

    def keepers(self) -> list[int]:
        """Return the keepers of this stage that live."""
        return [pid for pid in self._ours() if KEEPER.encode() in _proc(pid, "cmdline")]

    def unanswered(self) -> set[str]:
        """Return the asks of living holders that nobody answered yet."""
        living = {who for who in self.holders.values() if self.watch.lives(who)}
        return unanswered(e for e in self.events if e["who"] in living)

    def status(self) -> dict[str, Any]:
        """Return what ``airflow-ai gpu status`` says."""
        told = subprocess.run(
            [sys.executable, "-m", "airflow_ai_provider.cli", "gpu", "status", "--json"],
            env=self.environment(self.hosts[0]),
            capture_output=True,
            check=True,
            timeout=60,
        )
        document: dict[str, Any] = json.loads(told.stdout)
        return document

    def probe(self, host: str, *, timeout: float) -> None:
        """Take every device of ``host`` at once, as whoever comes next would."""
        count = self.devices.count(",") + 1
        program = (
            "from airflow_ai_provider.services.gpu import gpu_lease\n"
            f"with gpu_lease(gpus={count}, max_wait={timeout}) as lease:\n"
            f"    assert len(set(lease.devices)) == {count}"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=self.environment(host),
            capture_output=True,
            text=True,
            timeout=timeout + 30,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{json.dumps(self.status(), indent=1)}"

    # --- what is done to them --------------------------------------------------------------

    def kill_holder(self, chance: random.Random) -> None:
        """SIGKILL a holder; its children stay."""
        name = chance.choice(sorted(self.holders))
        pid = int(self.holders[name].partition(":")[0])
        self._stopped.pop(pid, None)
        _signal(pid, signal.SIGKILL)
        who = self.holders[name]
        assert self.run(lambda: not self.watch.lives(who), timeout=20), f"{who} does not die"
        self.start_holder(name)

    def kill_keeper(self, chance: random.Random) -> None:
        """SIGKILL a keeper."""
        if keepers := self.keepers():
            pid = chance.choice(keepers)
            self._stopped.pop(pid, None)
            _signal(pid, signal.SIGKILL)

    def kill_both(self, chance: random.Random) -> None:
        """SIGKILL a holder and every keeper, in either order."""
        deeds = [self.kill_holder, *[self.kill_keeper] * len(self.hosts)]
        chance.shuffle(deeds)
        for deed in deeds:
            deed(chance)

    def stop_holder(self, chance: random.Random) -> None:
        """SIGSTOP a holder for a while, now and then for longer than a lease lives."""
        who = self.holders[chance.choice(sorted(self.holders))]
        self._stop(int(who.partition(":")[0]), chance)

    def stop_keeper(self, chance: random.Random) -> None:
        """SIGSTOP a keeper, as ``stop_holder``."""
        if keepers := self.keepers():
            self._stop(chance.choice(keepers), chance)

    def terminate_backends(self, chance: random.Random) -> None:
        """Have PostgreSQL end one connection, now and then all."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
            victims = found if chance.random() < 0.1 else chance.sample(found, min(1, len(found)))
            for (pid,) in victims:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    def restart_the_dead(self) -> None:
        """Start holders anew that their keeper ended, for it could not renew in time."""
        for name, who in list(self.holders.items()):
            if not self.watch.lives(who):
                self.start_holder(name)

    def let_all_go_on(self) -> None:
        """End every pause."""
        for pid in self._stopped:
            _signal(pid, signal.SIGCONT)
        self._stopped.clear()

    def _stop(self, pid: int, chance: random.Random) -> None:
        _signal(pid, signal.SIGSTOP)
        self._stopped[pid] = now() + chance.choice([*[0.1, 0.3, 1.0] * 3, self.ttl * 1.5])

    def close(self) -> None:
        """End everything that this stage started, and what that started."""
        self.let_all_go_on()
        for nursery in self._nurseries.values():
            nursery.kill()
            nursery.communicate()
        for who in (*self.holders.values(), *self.watch.last):
            if self.watch.lives(who):
                _signal(int(who.partition(":")[0]), signal.SIGKILL)
        for pid in self._ours():
            _signal(pid, signal.SIGKILL)
        self.watch.close()

    def _ours(self) -> list[int]:
        said = f"TMPDIR={self.folder}".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if said in _proc(pid, "environ").split(b"\0")]


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


Deed = Callable[[random.Random], None]


def chosen(deeds: Mapping[Deed, int], chance: random.Random) -> Deed:
    """Return one of ``deeds``, by their weights."""
    return chance.choices(list(deeds), weights=list(deeds.values()))[0]
