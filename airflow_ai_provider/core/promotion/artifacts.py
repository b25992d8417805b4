"""The digest of a model's files: the same for the folder that was judged and for what is served.

It stands in the evidence as ``measured.artifact_digest``; a promotion computes it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

# MLflow writes this file beside a model that is loaded as models:/NAME/VERSION, into the store
# itself where that is a local folder: it names who loads, and is no part of the model.
_LOADERS_NOTE = "registered_model_meta"


def model_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that are the model's own, in the order in which they are digested."""
    own = (path for path in paths if path != _LOADERS_NOTE)
    return sorted(own, key=lambda path: path.split("/"))


def tree_digest(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 over each file's path under the model and the SHA-256 of its bytes."""
    whole = hashlib.sha256()
    for path in model_files(digests):
        whole.update(f"{path}\0{digests[path]}\n".encode())
    return whole.hexdigest()
