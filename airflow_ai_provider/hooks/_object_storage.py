"""Files of an object store: fetched into a folder for the time of a look, and written whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, DataReadError, StorageLostError
from airflow_ai_provider.core.gate import digest

_BLOCK = 1 << 20
_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "created")  # as storages say it
_VERSIONS = ("VersionId", "version_id", "versionId", "generation", "ETag", "etag", "e_tag", "md5")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Where data lie now, and the versions that their store says they have.

    ``version`` is that of the one file; of several, a digest of their names and ``versions``.
    """

    path: Any
    version: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def fetch(address: str, folder: Path) -> Fetched:
    """Fetch what ``address`` means into ``folder``: a file, a glob, or a folder with all below.

    Names below the address are kept, so that partitions (``month=1/``) keep theirs. The connection
    is named as in ``s3://conn_id@bucket/key``.

    :raises DataReadError: there is none, it changed meanwhile, or its kind of storage is not
        installed.
    :raises StorageLostError: the storage dropped the transfer.
    """
    from airflow.sdk import ObjectStoragePath

    with told_of(address, "read", "Check the path, and whether it arrived."):
        source: Any = ObjectStoragePath(address)
        return _fetched(source.fs, str(source.path), folder, address)


def files_of(address: str) -> tuple[Any, str, Iterator[str] | None]:
    """Return the storage of ``address``, the path there, and the files of a glob or a folder."""
    from airflow.sdk import ObjectStoragePath

    source: Any = ObjectStoragePath(address)
    path = str(source.path)
    return source.fs, path, _several(source.fs, path)


def send(near: Path, address: str) -> None:
    """Write the file ``near`` to ``address``, whole or not at all; what was there is replaced.

    :raises DataReadError: it may not be written there, or its kind of storage is not installed.
    :raises StorageLostError: the storage dropped the transfer.
    """
    from airflow.sdk import ObjectStoragePath

    with told_of(address, "write rows to", "Check the path."):
        target: Any = ObjectStoragePath(address)
        files, path = target.fs, str(target.path)
        _put(files, near, path)
        size = near.stat().st_size
        if files.info(path)["size"] != size:
            files.rm_file(path)
            raise OSError(f"of its {size} bytes not all arrived")


def _put(files: Any, near: Path, path: str) -> None:
    if getattr(files, "async_impl", False):  # an object is there only when its upload is complete
        files.put_file(str(near), path)
        return
    folder, _, name = path.rpartition("/")
    partial = f"{folder}/.{name}.{uuid.uuid4().hex}.partial"
    files.makedirs(folder, exist_ok=True)
    try:
        files.put_file(str(near), partial)
        files.mv(partial, path)
    except BaseException:  # a task that is ended leaves nothing half written either
        with suppress(Exception):  # the first error says why
            files.rm_file(partial)
        raise


@contextmanager
def told_of(address: str, deed: str, remedy: str) -> Iterator[None]:
    """Raise what a storage says as ours, naming ``address``."""
    try:
        yield
    except AirflowAiError:
        raise
    except FileNotFoundError as error:
        raise _cannot(address, deed, "there is no such file", remedy) from error
    except PermissionError as error:
        why = str(error.strerror or error or "permission denied")
        raise _cannot(address, deed, why, "Check the permissions of its connection.") from error
    except (ValueError, ImportError) as error:
        raise _cannot(
            address,
            deed,
            str(error),
            "Install the provider of this kind of storage, or use a local path.",
        ) from error
    except Exception as error:  # each storage's library has errors of its own
        said = " ".join(str(error).split())[:300] or "no reason given"
        raise StorageLostError(
            f"Cannot {deed} {address}: {type(error).__name__}: {said.rstrip('.')}.",
            remedy="Check the connection, and try again.",
            path=address,
        ) from error


def _fetched(files: Any, path: str, folder: Path, address: str) -> Fetched:
    several = _several(files, path)
    if several is None:
        target = folder / path.rsplit("/", 1)[-1]
        return Fetched(path=target, version=copied(files, path, target))
    names = list(several)
    if not names:
        raise _absent(address)
    base = _fixed(path)
    found: dict[str, str | None] = {}
    for name in names:
        below = name[len(base) :].lstrip("/")
        found[below] = copied(files, name, folder / "data" / below)
    versions = {below: version for below, version in found.items() if version}
    whole = digest(list(versions.items())) if len(versions) == len(found) else None
    return Fetched(path=folder / "data", version=whole, versions=versions)


def _several(files: Any, path: str) -> Iterator[str] | None:
    """Return the files of a glob or a folder, None of one file."""
    if any(sign in path for sign in "*?["):
        return (name for name in sorted(files.glob(path)) if files.isfile(name))
    if not files.isfile(path) and files.isdir(path):
        return iter(sorted(files.find(path)))
    return None


def _fixed(path: str) -> str:
    """Return the folders of ``path`` before its first wildcard."""
    kept = []
    for part in path.rstrip("/").split("/"):
        if any(sign in part for sign in "*?["):
            break
        kept.append(part)
    return "/".join(kept)


def copied(files: Any, name: str, target: Path) -> str | None:
    """Copy one file; return its version, which must be the same before and after."""
    before = version_of(files.info(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.open(name, "rb") as remote, target.open("wb") as near:
        while block := remote.read(_BLOCK):
            near.write(block)
    files.invalidate_cache(name.rpartition("/")[0])
    info = files.info(name)
    if version_of(info) != before:
        raise _cannot(name, "read", "it changed while it was read", "Run the gate again.")
    _keep_age(info, target)
    return before


def _keep_age(info: Any, target: Path) -> None:
    """Give the copy the age of what was copied; 1970 where the storage does not tell.

    A copy is always new, and what is expected to be recent must not pass for that.
    """
    moment = written(info)
    os.utime(target, (moment, moment))


def written(info: Any) -> float:
    """Return when a file was last written, in seconds since 1970; 0 where nobody tells."""
    told = next((info[name] for name in _WRITTEN if info.get(name)), 0)
    if isinstance(told, str):
        told = datetime.fromisoformat(told.replace("Z", "+00:00"))
    return told.timestamp() if isinstance(told, datetime) else float(told)


def version_of(info: Any) -> str | None:
    """Return the version that a storage says a file has; None where it says none."""
    found = (info.get(name) for name in _VERSIONS)
    return next((str(version).strip('"') for version in found if version), None)


def _absent(address: str) -> DataReadError:
    return _cannot(
        address, "read", "there is no such file", "Check the path, and whether it arrived."
    )


def _cannot(address: str, deed: str, why: str, remedy: str) -> DataReadError:
    return DataReadError(
        f"Cannot {deed} {address}: {why.rstrip('.')}.", remedy=remedy, path=address
    )
