"""Models that behave, and models that do not, for the process that measures them."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Constant:
    """Answers one half to every row."""

    def predict(self, frame):
        return [0.5] * len(frame)


class TooFew:
    """Answers the first row only."""

    def predict(self, frame):
        return [0.5]


class Picky:
    """Wants a column that the inputs may not have."""

    def predict(self, frame):
        return frame["wingspan"]


def constant(path):
    return Constant()


def slow_to_load(path):
    time.sleep(0.2)
    return Constant()


def too_few(path):
    return TooFew()


def picky(path):
    return Picky()


def broken(path):
    raise ValueError("invalid load key, '\\x00'.\nand more")


def leaves(path):
    raise SystemExit(3)


def crashes(path):
    os.abort()


def hangs(path):
    while True:
        time.sleep(60)


def hangs_in_a_child(path):
    if os.fork() == 0:
        Path(path + ".child").write_text(str(os.getpid()))
    hangs(path)


def hungry(path):
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 16)


class FarIsLate:
    """Answers 1 to rows that are far, and looks at nothing else."""

    def predict(self, frame):
        return (frame["distance"] > 3).astype(int)


def far_is_late(path):
    return FarIsLate()
