"""A file that appears whole, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a hidden path beside ``target`` to write to, which then takes the place of ``target``.

    When the body raises, ``target`` stays as it was and what was written is removed. Each call has
    a path of its own, so that of several writers the last one wins with a whole file. Its ending,
    ``.partial``, is one that whoever watches a folder passes over.

    :raises OSError: the file cannot be moved, as when nothing was written.
    """
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        with suppress(OSError):  # what the caller must hear is why the body failed
            unfinished.unlink(missing_ok=True)
