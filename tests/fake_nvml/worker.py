"""A program that asks the driver as a line on its standard input says, and answers in JSON.

``Worker`` is the test's side of it: the real ``pynvml`` needs a process whose library path was set
before it started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.adapters.nvml import NvmlDriver
from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.gpu.devices import PartialView
from airflow_ai_provider.services.gpu_inventory import Inventory
from airflow_ai_provider.services.settings import GpuSettings


class Worker:
    """The program, running; ask it by name, as in ``worker.ask("occupants", uuid)``."""

    def __init__(self, env: Mapping[str, str], *, our_pids: bool = True, static: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_nvml.worker", str(int(our_pids)), static],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, *args: Any) -> Any:
        """Return the answer: JSON, or ``{"error": ...}``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, *args]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> int:
        """Let the program end by itself and return its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=30)


Start = Callable[..., Worker]


class _Answers:
    def __init__(self, *, our_pids: bool, static: str) -> None:
        self.driver = NvmlDriver(sees_our_pids=lambda: our_pids)
        settings = GpuSettings(static_devices=static, device_host="h")
        self.inventory = Inventory(settings, driver=self.driver)

    def look(self) -> Any:
        return _devices(self.driver.look(host="h"))

    def devices(self) -> Any:
        return _devices(self.inventory.devices(max_age=-1))

    def faults(self) -> Any:
        return [asdict(fault) for fault in self.inventory.watch()]

    def state(self) -> Any:
        return asdict(self.driver.state())

    def occupants(self, uuid: str) -> Any:
        found = self.inventory.probe.occupants(uuid)
        return {**asdict(found), "pids": sorted(found.pids)}

    def busy(self, uuid: str) -> Any:
        return self.inventory.probe.busy_percent(uuid)

    def forked(self, what: str, *args: Any) -> Any:
        """Answer in a forked child."""
        back, forth = os.pipe()
        if not os.fork():
            os.write(forth, json.dumps(_answer(self, what, *args)).encode())
            os._exit(0)
        os.wait()
        answer = json.loads(os.read(back, 2**20))
        os.close(back)
        os.close(forth)
        return answer

    def shut_down_beneath(self) -> Any:
        """Do as another library of this process might."""
        import pynvml

        pynvml.nvmlShutdown()

    def loaded(self) -> Any:
        return "pynvml" in sys.modules


def _devices(found: Any) -> Any:
    document: dict[str, Any] = {"devices": None if found is None else [asdict(d) for d in found]}
    if isinstance(found, PartialView):
        document |= {"missing": found.missing, "why": found.why}
    return document


def _answer(answers: _Answers, what: str, *args: Any) -> Any:
    try:
        return getattr(answers, what)(*args)
    except AirflowAiError as error:
        return {"error": type(error).__name__, "message": error.message, **error.facts}


def main() -> None:
    answers = _Answers(our_pids=bool(int(sys.argv[1])), static=sys.argv[2])
    for line in sys.stdin:
        what, *args = json.loads(line)
        print(json.dumps(_answer(answers, what, *args)), flush=True)


if __name__ == "__main__":
    main()
