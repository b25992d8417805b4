"""Pods that really run their program: a Python process in the place of a container."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def runs_python(pod: dict[str, Any], *, flags: Sequence[str] = ("-I", "-S")) -> dict[str, Any]:
    """Run what the pod's first container says, without this package; return what came of it.

    Given to the emulator as what pods do: its output is the log, its last line the result. With
    ``flags`` of ``-I`` alone it has what is installed here.
    """
    container = pod["spec"]["containers"][0]
    program, *arguments = container["command"]
    assert program == "python"
    given = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, *flags, *arguments, *container.get("args", [])],
            env={"PATH": os.environ["PATH"], **given},
            cwd=Path(empty),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    lines = done.stdout.splitlines()
    says = {"exit-code": done.returncode, "logs": done.stdout + done.stderr, "run-seconds": 0.2}
    if done.returncode == 0 and lines:
        says["xcom"] = lines[-1]
    return says
