"""Which kind of file system a path is on: SQLite's locks and shared memory need a local one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow_ai_provider.core.errors import StoreError

MOUNTS = Path("/proc/self/mountinfo")
MountTable = Callable[[], str]

# several machines may write there at once, and one's locks and memory are not seen by the others
_NETWORK = frozenset(
    {
        "9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "glusterfs",
        "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb2", "smb3",
        "smbfs", "vboxsf", "wekafs",
    }
)  # fmt: skip
# of FUSE, those that are as local as what they stand on
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.overlayfs", "fuse.bindfs", "fuse.lxcfs"})


def read_mounts() -> str:
    """Return this process's mounts as the kernel tells them; none where it does not."""
    try:
        return MOUNTS.read_text()
    except OSError:
        return ""


def kind_of(path: Path, mounts: str) -> str | None:
    """Return the kind of file system that ``path`` is on; None when no mount is known.

    ``mounts`` is in the form of ``/proc/self/mountinfo`` (``man 5 proc``). Of two mounts at one
    place the later is on top.
    """
    resolved = path.resolve()
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        place = Path(_unescaped(fields[4]))
        if (resolved == place or place in resolved.parents) and (
            best is None or len(place.parts) >= best[0]
        ):
            best = (len(place.parts), right.split(" ")[0])
    return best[1] if best else None


def refuse_network(path: Path, *, mounts: MountTable = read_mounts) -> None:
    """Refuse a SQLite file where other machines may write too.

    :raises StoreError: it is on a network file system.
    """
    kind = kind_of(path, mounts())
    if kind is None or not is_network(kind):
        return
    raise StoreError(
        f"The store {path} is on a network file system ({kind}), where SQLite cannot keep several "
        "writers apart.",
        remedy="Put it on a local disk, or use PostgreSQL when several machines share it.",
        file_system=kind,
    )


def is_network(kind: str) -> bool:
    """Whether the files of a file system of this ``kind`` may be another machine's."""
    if kind.startswith("fuse"):
        # fuseblk is a local disk (NTFS, exFAT); a plain "fuse" does not say what it is
        return kind.startswith("fuse.") and kind not in _LOCAL_FUSE
    return kind in _NETWORK


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
