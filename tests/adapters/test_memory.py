"""What memory a look takes, by the limits that hold here."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.adapters.memory import default_memory

MIB = 1 << 20


class Machine:
    """A ``/proc`` and a ``/sys/fs/cgroup`` of one's own."""

    def __init__(self, folder: Path, group: str) -> None:
        self.proc, self.groups = folder / "proc", folder / "groups"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "cgroup").write_text(f"3:cpuset:/\n{group}\n")
        (self.proc / "self" / "statm").write_text("1000 500 100 1 0 400 0\n")

    def group(self, path: str, **files: str) -> None:
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content)

    def said(self) -> int:
        text = default_memory(self.groups, self.proc)
        assert text.endswith("MiB")
        return int(text.removesuffix("MiB"))


@pytest.fixture(params=["one", "two"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def machine(folder: Path, version: str, *limits: tuple[str, int | str, int]) -> Machine:
    """Return a machine whose groups have limits and anonymous memory in use, in MiB."""
    made = Machine(folder, "4:memory:/pod/task" if version == "one" else "0::/pod/task")
    for path, limit, used in limits:
        text = limit if isinstance(limit, str) else str(limit * MIB)
        if version == "one":
            made.group(
                f"memory/{path}",
                memory__limit_in_bytes=text.replace("max", str(2**63 - 4096)),
                memory__stat=f"cache 99999999\ntotal_rss {used * MIB}\n",
            )
        else:
            made.group(path, memory__max=text, memory__stat=f"anon {used * MIB}\nfile 99999999\n")
    return made


def test_without_a_limit_it_is_two_gibibytes(tmp_path: Path, version: str) -> None:
    free = machine(tmp_path, version, ("pod/task", "max", 100), ("pod", "max", 100))
    assert 512 < free.said() <= 2048  # the test's own machine may have little


def test_a_pod_leaves_what_others_in_it_have_not_taken(tmp_path: Path, version: str) -> None:
    assert machine(tmp_path, version, ("pod/task", 512, 112)).said() == 240


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path, version: str) -> None:
    nested = machine(tmp_path, version, ("pod/task", "max", 50), ("pod", 612, 112))
    assert nested.said() == 300


def test_a_full_pod_still_gets_what_any_look_needs(tmp_path: Path, version: str) -> None:
    assert machine(tmp_path, version, ("pod/task", 256, 250)).said() == 96


def test_where_nothing_can_be_read_the_machine_decides(tmp_path: Path) -> None:
    assert 96 <= int(default_memory(tmp_path, tmp_path).removesuffix("MiB")) <= 2048
