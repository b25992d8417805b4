"""The digest of a model that lies in a folder of this machine, or is one file there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from airflow_ai_provider.core.promotion.artifacts import model_files, tree_digest

_CHUNK = 1 << 20


def digest_of_tree(place: Path) -> tuple[int, str]:
    """Return the bytes in a file or folder, and the digest of its names and contents."""
    if place.is_file():
        return place.stat().st_size, tree_digest({"": sha256_of(place)})
    found = (path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    digests, size = {}, 0
    for path in model_files(found):
        digests[path] = sha256_of(place / path)
        size += (place / path).stat().st_size
    return size, tree_digest(digests)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
