"""SQLite on a network file system is refused, by what the kernel says of the mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.file_systems import is_network, kind_of, read_mounts

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/team rw,relatime shared:20 - nfs4 files:/team rw,vers=4.2
31 30 8:2 / /mnt/team/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/with\040space rw - cifs //files/share rw
33 22 0:42 / /srv rw - ext4 /dev/sdc1 rw
34 22 0:43 / /srv rw - fuse.sshfs host:/srv rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/airflow_ai.db", "ext4"),
        ("/mnt/team/airflow_ai.db", "nfs4"),
        ("/mnt/teamwork/airflow_ai.db", "ext4"),
        ("/mnt/team/local/airflow_ai.db", "xfs"),
        ("/mnt/with space/a.db", "cifs"),
        ("/srv/a.db", "fuse.sshfs"),  # of two at one place the later is on top
    ],
)
def test_a_path_is_on_the_deepest_mount(path: str, kind: str) -> None:
    assert kind_of(Path(path), MOUNTS) == kind


def test_where_no_mount_is_known_nothing_is_said() -> None:
    assert kind_of(Path("/a.db"), "") is None


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "9p", "lustre", "ceph", "beegfs", "glusterfs", "afs",
     "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"],
)  # fmt: skip
def test_these_are_network_file_systems(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"]
)
def test_these_are_local(kind: str) -> None:
    assert not is_network(kind)


def test_the_store_is_refused_there_before_anything_is_made(tmp_path: Path) -> None:
    mounts = f"1 0 0:40 / {tmp_path} rw - nfs4 files:/team rw"
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)") as caught:
        Store.open(f"sqlite:///{tmp_path / 'sub' / 'a.db'}", mounts=lambda: mounts)
    assert "PostgreSQL" in str(caught.value.remedy)
    assert list(tmp_path.iterdir()) == []


def test_the_store_is_opened_on_a_local_disk(tmp_path: Path) -> None:
    mounts = f"1 0 8:1 / {tmp_path} rw - ext4 /dev/sda1 rw"
    Store.open(f"sqlite:///{tmp_path / 'a.db'}", mounts=lambda: mounts).close()


def test_the_kernel_tells_of_the_root() -> None:
    assert kind_of(Path("/"), read_mounts()) is not None
