"""What the tests of the driver stand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_nvml import FakeNvml
from tests.fake_nvml.worker import Start, Worker


@pytest.fixture
def start(fake_nvml: FakeNvml) -> Iterator[Start]:
    workers: list[Worker] = []

    def start(**more: Any) -> Worker:
        fake_nvml.write()
        workers.append(Worker(fake_nvml.env, **more))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()
