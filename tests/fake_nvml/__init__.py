"""A fake NVML for tests: machines as Python values, written for the C library beside this file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCES = {"libnvidia-ml.so.1": "nvml.c", "libcuda.so.1": "cuda.c"}
MIB = 2**20
LOST, UNKNOWN, NO_DRIVER, MISMATCH, NO_PERMISSION = 15, 999, 9, 18, 4
NOT_SUPPORTED, MISSING, TIMEOUT = 3, 13, 10
_ANY_INSTANCE = 0xFFFFFFFF


@dataclass
class Unit:
    """A card or a MIG instance; a fact that is None is "not supported". Memory is in MiB."""

    uuid: str
    name: str = "NVIDIA H100 80GB HBM3"
    memory_mib: int | None = 81559
    reserved_mib: int = 550
    used_mib: int = 0
    busy: int | None = 0
    processes: list[tuple[str, int]] = field(default_factory=list)  # kind and pid

    def lines(self) -> Iterator[str]:
        yield f"name {self.name}"
        if self.memory_mib is not None:
            sizes = (self.memory_mib, self.reserved_mib, self.used_mib)
            yield "memory " + " ".join(str(size * MIB) for size in sizes)
        if self.busy is not None:
            yield f"busy {self.busy}"
        for kind, pid in self.processes:
            yield f"process {kind} {pid} {100 * MIB}"


@dataclass
class Instance(Unit):
    """A MIG instance of a card."""

    name: str = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    memory_mib: int | None = 9984
    reserved_mib: int = 0
    busy: int | None = None
    slices: tuple[int, int] = (1, 1)
    ids: tuple[int, int] = (1, 0)

    def lines(self) -> Iterator[str]:
        yield f"instance {self.uuid}"
        yield from super().lines()
        yield f"slices {self.slices[0]} {self.slices[1]}"
        yield f"ids {self.ids[0]} {self.ids[1]}"


@dataclass
class Card(Unit):
    """A whole card; ``links`` are its active NVLinks, by the bus at their other end."""

    bus: str = "00000000:1B:00.0"
    mig: bool | None = False
    compute_mode: int | None = 0
    persistence: int | None = 1
    ecc: int | None = 0
    remapped: tuple[int, int] | None = (0, 0)  # pending, failed
    links: list[str] = field(default_factory=list)
    dead_links: int = 0
    instances: list[Instance] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield f"device {self.uuid}"
        yield from super().lines()
        yield f"bus {self.bus}"
        facts = {
            "mig": None if self.mig is None else int(self.mig),
            "compute_mode": self.compute_mode,
            "persistence": self.persistence,
            "ecc": self.ecc,
        }
        yield from (f"{name} {value}" for name, value in facts.items() if value is not None)
        if self.remapped is not None:
            yield f"remapped {self.remapped[0]} {self.remapped[1]}"
        for index, bus in enumerate(self.links):
            yield f"link {index} 1 {bus}"
        for index in range(self.dead_links):
            yield f"link {len(self.links) + index} 0"
        for instance in self.instances:
            yield from instance.lines()


@dataclass
class Machine:
    """What the driver tells: cards, levels between cards, errors by function, events."""

    cards: list[Card] = field(default_factory=list)
    driver: str = "550.54.15"
    near: list[tuple[str, str, int]] = field(default_factory=list)
    errors: list[tuple[str, int, str]] = field(default_factory=list)
    xids: list[tuple[str, int, int, int]] = field(default_factory=list)

    def fail(self, function: str, code: int, uuid: str = "") -> None:
        """Let ``function`` (``*``: each) return ``code``; on one device where ``uuid`` names it.

        ``MISSING`` is what the real library's absent functions look like.
        """
        self.errors.append((function, code, uuid))

    def xid(self, uuid: str, code: int, gi: int = _ANY_INSTANCE, ci: int = _ANY_INSTANCE) -> None:
        """Let the card report an Xid, of an instance where its ids are given."""
        self.xids.append((uuid, code, gi, ci))

    def text(self) -> str:
        lines = [f"driver {self.driver}"]
        lines += [f"error {function} {code} {uuid}" for function, code, uuid in self.errors]
        lines += [line for card in self.cards for line in card.lines()]
        lines += [f"near {a} {b} {level}" for a, b, level in self.near]
        lines += [
            f"xid {number} {uuid} {code} {gi} {ci}"
            for number, (uuid, code, gi, ci) in enumerate(self.xids, start=1)
        ]
        return "\n".join(lines) + "\n"


class FakeNvml:
    """A machine with a fake driver, for programs that a test starts.

    The real ``pynvml`` finds the fake library where ``LD_LIBRARY_PATH`` was set before its
    interpreter started: give ``env`` to a subprocess. The library reads the machine anew at every
    call, so change it while programs run::

        def test_it(fake_nvml):                      # fixture: a node of two cards
            fake_nvml.machine = node(8)              # or mig_node(), unified_node()
            fake_nvml.write()
            program = subprocess.Popen([...], env={**os.environ, **fake_nvml.env})
            with fake_nvml.change() as machine:
                machine.cards[0].processes.append(("compute", program.pid))
                machine.cards[1].ecc = 2
                machine.fail("*", LOST, machine.cards[2].uuid)
                machine.xid(machine.cards[3].uuid, 79)

    A program that makes a CUDA context (``libcuda.so.1`` is a fake too) is listed on its device
    without being named here. ``calls()`` tells which processes initialised the library and shut it
    down. ``old`` takes the library as drivers before 510 had it: no ``_v3`` process lists, no
    second memory version.
    """

    def __init__(self, library: Path, folder: Path, machine: Machine) -> None:
        self.library = library
        self.state = folder / "nvml.state"
        self.log = folder / "nvml.log"
        self.users = folder / "nvml.users"
        self.machine = machine
        self.old = False
        self.write()

    @property
    def env(self) -> dict[str, str]:
        """What a program needs in its environment to meet this machine."""
        folder = self.library / ("old" if self.old else "new")
        return {
            "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"),
            "FAKE_NVML_STATE": str(self.state),
            "FAKE_NVML_LOG": str(self.log),
            "FAKE_NVML_USERS": str(self.users),
        }

    def write(self) -> None:
        """Let programs see the machine as it is now, all of it at once."""
        draft = self.state.with_suffix(".draft")
        draft.write_text(self.machine.text())
        draft.replace(self.state)

    @contextmanager
    def change(self) -> Iterator[Machine]:
        """Change the machine in the block; programs see it at its end."""
        yield self.machine
        self.write()

    def calls(self) -> list[str]:
        """Return ``init PID`` and ``shutdown PID`` in the order they came."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def uuid_of(number: int, kind: str = "GPU") -> str:
    """Return the UUID of card ``number`` of the made-up machines."""
    return f"{kind}-{number:08x}-0000-4000-8000-{number:012x}"


def node(count: int = 8) -> Machine:
    """Return a node whose cards are joined by NVLink in pairs, half of them on each processor."""
    buses = [f"00000000:{0x10 + number:02X}:00.0" for number in range(count)]
    cards = [
        Card(uuid=uuid_of(n), bus=buses[n], links=[buses[n ^ 1]] * 2, dead_links=1)
        if n ^ 1 < count
        else Card(uuid=uuid_of(n), bus=buses[n])
        for n in range(count)
    ]
    near = [
        (cards[a].uuid, cards[b].uuid, _level(a, b, count))
        for a in range(count)
        for b in range(a + 1, count)
    ]
    return Machine(cards=cards, near=near)


def _level(a: int, b: int, count: int) -> int:
    if a ^ 1 == b:
        return 10  # the same switch
    return 40 if a * 2 // count == b * 2 // count else 50


def mig_node() -> Machine:
    """Return a node of a whole card and one cut into a 3g.40gb and two 1g.10gb instances."""
    whole = Card(uuid=uuid_of(0), bus="00000000:10:00.0")
    cut = Card(uuid=uuid_of(1), bus="00000000:11:00.0", mig=True)
    cut.instances = [
        Instance(
            uuid=uuid_of(10, "MIG"),
            name="NVIDIA H100 80GB HBM3 MIG 3g.40gb",
            memory_mib=40448,
            slices=(3, 3),
            ids=(1, 0),
        ),
        Instance(uuid=uuid_of(11, "MIG"), ids=(7, 0)),
        Instance(uuid=uuid_of(12, "MIG"), ids=(8, 0)),
    ]
    return Machine(cards=[whole, cut])


def unified_node() -> Machine:
    """Return a machine whose card shares the processor's memory and tells none of its own."""
    card = Card(uuid=uuid_of(0), name="NVIDIA GB10", memory_mib=None, mig=None, ecc=None)
    card.remapped = None
    return Machine(cards=[card])


def compile_library(folder: Path) -> Path:
    """Compile the libraries into ``folder``, as ``new`` and ``old`` drivers have them."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (gcc or cc) for the fake NVML, and none is in PATH")
    for name, options in {"new": [], "old": ["-DOLD_DRIVER"]}.items():
        (folder / name).mkdir()
        for library, source in SOURCES.items():
            subprocess.run(
                [
                    compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread", *options,
                    f"-Wl,-soname,{library}", "-o", folder / name / library,
                    Path(__file__).with_name(source),
                ],
                check=True,
            )  # fmt: skip
    return folder
