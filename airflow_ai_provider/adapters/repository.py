"""Look at a project's folder: models beside the code or in its history, and the code itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePath

from airflow_ai_provider.core.errors import LifecycleError, in_one_line

MODEL_SUFFIXES = (
    *(".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".keras", ".mar", ".mlmodel", ".onnx", ".pb"),
    *(".pickle", ".pkl", ".pmml", ".pt", ".pth", ".safetensors", ".skops", ".tflite", ".ubj"),
)
LARGE_BYTES = 10 * 2**20
_SKIPPED = {
    ".git",
    ".tox",
    ".mypy_cache",
    ".ruff_cache",
    "__pycache__",
    ".venv",
    "node_modules",
    "build",
    "dist",
    "logs",
}


_GIT_PATIENCE = 120  # seconds, for the history of a large repository
_MAX_SOURCES = 2_000
_MAX_SOURCE_BYTES = 2**20
_SAFELY = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")  # read, and start nothing
HISTORY = " (in the history)"


def model_files(folder: Path) -> list[str]:
    """Return the files that look like models, or are too large for code.

    In a git work tree those that git tracks anywhere in it, and those that the history of what is
    checked out keeps though nobody sees them any more, marked so: models of ``folder``, large files
    of the whole repository, which every clone fetches. Elsewhere all files under ``folder``.

    :raises LifecycleError: git cannot tell.
    """
    root = _work_tree(folder)
    if root is None:
        return sorted(name for name in _walk(folder) if _is_model(folder / name))
    tracked = [os.fsdecode(n) for n in _git(root, "ls-files", "-z").split(b"\0") if n]
    there = {name for name in tracked if _is_model(root / name)}
    return sorted(there) + sorted(f"{name}{HISTORY}" for name in _in_history(root, folder) - there)


def python_sources(folder: Path) -> dict[str, str]:
    """Return the Python files under ``folder``, texts by path from there.

    A file that is no UTF-8 text comes as one that is no Python.

    :raises LifecycleError: there are more than can be a project's.
    """
    found: dict[str, str] = {}
    for name in sorted(name for name in _walk(folder) if name.endswith(".py")):
        path = folder / name
        if len(found) >= _MAX_SOURCES:
            raise LifecycleError(
                f"{folder} holds more than {_MAX_SOURCES:,} Python files.",
                remedy="Keep the project's DAGs in a folder of their own.",
            )
        if path.is_file() and path.stat().st_size <= _MAX_SOURCE_BYTES:
            found[name] = path.read_bytes().decode("utf-8", errors="replace")
    return found


def _is_model(path: Path) -> bool:
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return _looks_like_one(path.name, size)


def _looks_like_one(name: str, size: int) -> bool:
    return Path(name).suffix.lower() in MODEL_SUFFIXES or size > LARGE_BYTES


def _work_tree(folder: Path) -> Path | None:
    """Return the root of the git work tree that tracks something in ``folder``; None: no such."""
    if not any((place / ".git").exists() for place in (folder, *folder.absolute().parents)):
        return None
    if not _git(folder, "ls-files", "-z", "--", "."):
        return None  # an ignored folder in somebody's work tree: it is looked at file by file
    return Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")))


def _in_history(root: Path, folder: Path) -> set[str]:
    """Return the paths at which such a file was ever committed."""
    if not _git(root, "rev-list", "--max-count=1", "--all"):
        return set()  # nothing was committed yet
    beside = PurePath(os.path.relpath(folder.resolve(), root.resolve()))
    named: dict[str, str] = {}
    for line in _git(root, "rev-list", "--objects", "HEAD").decode(errors="replace").splitlines():
        identity, _, name = line.partition(" ")
        if name:
            named[identity] = name
    told = _git(
        root,
        "cat-file",
        "--batch-check=%(objectname) %(objecttype) %(objectsize)",
        given="\n".join(named).encode(),
    )
    found = set()
    for line in told.decode().splitlines():
        identity, kind, *size = line.split(" ")
        if kind != "blob":
            continue
        path = PurePath(named[identity])
        is_model = path.suffix.lower() in MODEL_SUFFIXES and path.is_relative_to(beside)
        if is_model or int(size[0]) > LARGE_BYTES:
            found.add(str(path))
    return found


def _git(folder: Path, *words: str, given: bytes = b"") -> bytes:
    git = shutil.which("git") or "git"
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands on our own folder
            [git, "-C", str(folder), *_SAFELY, *words],
            capture_output=True,
            input=given,
            timeout=_GIT_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LifecycleError(
            f"git did not answer in {folder}: {error}.", remedy="Look at the repository by hand."
        ) from error
    if done.returncode != 0:
        raise LifecycleError(
            f"git refused {words[0]} in {folder}: {in_one_line(done.stderr.decode())}.",
            remedy="Look at the repository by hand.",
        )
    return done.stdout


def _walk(folder: Path) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        found += [str((Path(root) / name).relative_to(folder)) for name in files]
    return found
