"""Find model files that lie beside the code instead of in a registry."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MODEL_SUFFIXES = (
    *(".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".keras", ".mar", ".mlmodel", ".onnx", ".pb"),
    *(".pickle", ".pkl", ".pmml", ".pt", ".pth", ".safetensors", ".skops", ".tflite", ".ubj"),
)
LARGE_BYTES = 10 * 2**20
_SKIPPED = {".git", "__pycache__", ".venv", "node_modules", "build", "dist", "logs"}


def model_files(folder: Path) -> list[str]:
    """Return the files under ``folder`` that look like models, or are too large for code.

    In a git work tree those that git tracks there; elsewhere all of them.
    """
    files = _tracked(folder)
    if files is None:
        files = _walk(folder)
    return sorted(name for name in files if _is_model(folder / name))


def _is_model(path: Path) -> bool:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return path.suffix.lower() in MODEL_SUFFIXES or size > LARGE_BYTES


def _tracked(folder: Path) -> list[str] | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603 - a fixed command on our own folder
        [git, "-C", str(folder), "ls-files", "-z", "--", "."],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return names or None  # an ignored folder in somebody's work tree tracks nothing: look at it


def _walk(folder: Path) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        found += [str((Path(root) / name).relative_to(folder)) for name in files]
    return found
