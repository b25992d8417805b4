"""A process that follows triggers as Airflow's triggerer does, with all that this one imports.

usage: triggerer.py SECONDS, with a JSON list of classpaths and arguments on standard input. It
prints what it cost: ``{"cpu", "mib"}``, seconds of processor and its whole resident memory at most.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.jobs import triggerer_job_runner
from airflow.sdk.module_loading import import_string


async def follow(triggers: list[Any], seconds: float) -> None:
    async def one(trigger: Any) -> None:
        async for event in trigger.run():
            raise AssertionError(f"it fired: {event}")

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one(t)) for t in triggers]
    await asyncio.sleep(seconds)
    done = [task for task in tasks if task.done()]
    assert not done, done[0].exception()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    assert triggerer_job_runner.TriggerRunner  # it is what a triggerer holds in memory
    triggers = []
    for path, arguments in json.load(sys.stdin):
        if "trigger_start_time" in arguments:
            arguments["trigger_start_time"] = datetime.now(timezone.utc)
        triggers.append(import_string(path)(**arguments))
    begun = time.process_time()
    asyncio.run(follow(triggers, float(sys.argv[1])))
    status = Path("/proc/self/status").read_text()
    most = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"cpu": time.process_time() - begun, "mib": int(most) / 1024}))


if __name__ == "__main__":
    main()
