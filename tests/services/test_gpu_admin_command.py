"""``airflow-ai gpu reap | drain | undrain | quarantine | release`` as people run them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.store.ledger import Ledger
from tests.services.test_gpu_left_behind import Holder
from tests.services.test_gpu_processes import Stage, gone, wait_for_keeper


class Shell:
    """The script, with a store of its own."""

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self.stage = stage
        self.capsys = capsys

    def run(self, *words: str) -> tuple[int, Any, str]:
        """Exit status, the JSON on standard output, and standard error."""
        status = main(["gpu", *words, "--json", "--store", self.stage.store.full_url])
        out, err = self.capsys.readouterr()
        return status, json.loads(out), err

    def records(self) -> list[Any]:
        return Ledger(self.stage.store).search(kind=GateKind.DEVICE)


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    stage = Stage(tmp_path, devices="cpu:0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where keepers are found
    for name in (
        "TMPDIR",
        "AIRFLOW__AI_PROVIDER__STATIC_DEVICES",
        "AIRFLOW__AI_PROVIDER__LEASE_TTL",
    ):
        monkeypatch.setenv(name, stage.environment[name])
    yield Shell(stage, capsys)
    stage.close()


def test_reap_ends_what_a_dead_holder_and_its_dead_keeper_left(shell: Shell) -> None:
    holder = Holder(shell.stage, "bash")
    said = holder.said()
    os.kill(wait_for_keeper(shell.stage), signal.SIGKILL)
    holder.kill()
    status, document, _ = shell.run("reap")
    assert (status, document) == (0, {"released": [said["lease"]], "remaining": []})
    assert gone(said["child"])
    assert shell.run("reap")[:2] == (0, {"released": [], "remaining": []})


def test_reap_leaves_the_living_and_says_what_it_cannot_release(shell: Shell) -> None:
    holder = Holder(shell.stage, "alone")
    said = holder.said()
    assert shell.run("reap")[:2] == (0, {"released": [], "remaining": []})
    shell.stage.store.close()
    os.kill(wait_for_keeper(shell.stage), signal.SIGSTOP)  # what it should do it does not
    holder.kill()
    status, document, _ = shell.run("reap", "--timeout", "1")
    assert status == 1
    (remaining,) = document["remaining"]
    assert remaining["id"] == said["lease"]
    assert remaining["reason"]
    os.kill(wait_for_keeper(shell.stage), signal.SIGCONT)


def test_a_host_that_was_seen_of_late_is_not_given_up(shell: Shell) -> None:
    Holder(shell.stage, "alone").said()
    host = shell.stage.live()[0].host
    status, document, err = shell.run("reap", "--host", host, "--gone", "--reason", "burnt")
    assert status == 1
    assert "it is not gone" in document["message"]
    assert "it is not gone" in err
    sure = shell.run("reap", "--host", host, "--gone", "--sure", "--reason", "burnt")
    assert sure[0] == 1
    assert "not known to be silent" in sure[1]["message"]
    assert shell.run("reap", "--host", host)[0] == 2
    assert shell.run("reap", "--sure")[0] == 2
    assert shell.run("reap", "--host", "nowhere", "--gone", "--reason", "burnt")[0] == 2
    assert shell.records() == []


def test_a_device_is_drained_and_comes_back(shell: Shell) -> None:
    Holder(shell.stage, "alone").said()
    status, document, _ = shell.run("drain", "cpu:0", "--reason", "new fan")
    assert (status, document["was"], document["is"]) == (0, "in service", "drained")
    (device,) = shell.run("status")[1]["devices"]
    assert (device["health"], device["reason"]) == ("drained", "new fan")
    assert shell.run("quarantine", "cpu:0", "--reason", "smoke")[1]["is"] == "quarantined"
    assert shell.run("undrain", "cpu:0")[1]["is"] == "in service"
    assert shell.run("status")[1]["devices"][0]["health"] == "healthy"
    assert [r.criteria[0]["sentence"] for r in shell.records()] == [
        "new fan", "smoke", "back in service"
    ]  # fmt: skip
    assert {r.decided_by for r in shell.records()} == {shell.records()[0].decided_by}
    assert f"(uid {os.getuid()})" in shell.records()[0].decided_by


def test_wrong_use_is_said(shell: Shell) -> None:
    status, document, err = shell.run("drain", "cpu:9", "--reason", "why not")
    assert (status, document["error"]) == (2, "GpuAdminError")
    assert "cpu:9" in err
    assert shell.run("release", "nobody", "--force", "--reason", "why not")[0] == 2
    with pytest.raises(SystemExit):
        main(["gpu", "release", "nobody", "--reason", "without force"])
    with pytest.raises(SystemExit):
        main(["gpu", "drain", "cpu:0"])


def test_a_lease_released_by_force_kills_its_holder(shell: Shell) -> None:
    holder = Holder(shell.stage, "deaf")
    said = holder.said()
    wait_for_keeper(shell.stage)
    status, document, _ = shell.run("release", said["lease"], "--force", "--reason", "hung")
    assert (status, document["lease"], document["devices"]) == (0, said["lease"], ["cpu:0"])
    assert holder.process.wait(timeout=20) == -signal.SIGKILL
    assert shell.records()[0].evidence["lease"] == said["lease"]
