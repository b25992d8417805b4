"""Looks on while processes use devices: until when each surely lived, and what they log."""

from __future__ import annotations

import json
import os
import select
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.checker import Event, parse
from tests.faults.clock import identity, now


class Watch:
    """Knows of every process until when it surely lived."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self._poller = select.poll()
        self._living: dict[int, str] = {}  # pidfd -> who

    def add(self, who: str) -> None:
        """Watch a process that lives; one that is gone already was last seen never."""
        pid = int(who.partition(":")[0])
        if who in self.last:
            return
        self.last[who] = 0.0
        with suppress(OSError):
            descriptor = os.pidfd_open(pid)
            with suppress(OSError):
                if identity(pid) == who:
                    self._living[descriptor] = who
                    self._poller.register(descriptor, select.POLLIN)
                    return
            os.close(descriptor)

    def look(self) -> None:
        """Note who lives; the moment is taken first, so that it is never too late."""
        at = now()
        for descriptor, _ in self._poller.poll(0):
            self._poller.unregister(descriptor)
            os.close(descriptor)
            del self._living[descriptor]
        for who in self._living.values():
            self.last[who] = at

    def lives(self, who: str) -> bool:
        """Whether the process lived at the last look."""
        return who in self._living.values()

    def close(self) -> None:
        for descriptor in self._living:
            os.close(descriptor)
        self._living.clear()


class Observer:
    """Reads the logs in ``folder`` as they grow, and watches every process that they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = Watch()
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self._read: dict[Path, int] = {}

    def turn(self) -> None:
        """Look at every process and read what is new."""
        self.watch.look()
        for path in self.folder.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                content = file.read()
            whole = content[: content.rfind(b"}") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for event in parse(whole):
                self.events.append(event)
                self.counts[event["e"]] += 1
                self.watch.add(event["who"])
                if event["e"] == "child":
                    self.watch.add(event["child"])

    def run(self, until: Callable[[], bool], *, timeout: float, turn_every: float = 0.01) -> bool:
        """Turn until something holds; False when it did not within ``timeout`` seconds."""
        deadline = now() + timeout
        while now() < deadline:
            self.turn()
            if until():
                return True
            time.sleep(turn_every)
        return until()

    def write_seen(self) -> None:
        """Write down until when each process surely lived, for the checker."""
        with (self.folder / "harness.jsonl").open("w") as file:
            for who, at in self.watch.last.items():
                file.write(json.dumps({"e": "seen", "who": who, "t": at}) + "\n")
