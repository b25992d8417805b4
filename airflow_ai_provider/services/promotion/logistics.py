"""Measure what a version needs to be delivered, and keep it with the version."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from airflow_ai_provider.adapters.model_tree import sha256_of
from airflow_ai_provider.core.errors import ModelCopyError
from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.core.promotion.copying import (
    MANIFEST_TAG,
    ModelFiles,
    manifest_digest,
    safe_path,
)
from airflow_ai_provider.core.promotion.logistics import SIGNATURE_TAG
from airflow_ai_provider.core.promotion.registry import ModelRegistry

DESCRIPTION = "MLmodel"


def keep_logistics(
    model_name: str, version: str, *, registry: ModelRegistry, files: ModelFiles
) -> dict[str, str]:
    """Read every file of a version once, and tag it with their digest and its signature's.

    A model without a signature gets no tag of one: what it takes and gives is then unknown.

    :raises ModelCopyError: its files are not those that it was tagged with before.
    """
    found = files.describe(model_name, version)
    digests, signature = {}, None
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        for path in sorted(found.files):
            safe_path(path)
            files.fetch(model_name, version, path, part)
            digests[path] = sha256_of(part)
            if path == DESCRIPTION:
                signature = _signature(part)
            part.unlink()
    whole = manifest_digest(digests)
    standing = found.tags.get(MANIFEST_TAG)
    if standing not in {None, whole}:
        raise ModelCopyError(
            f"The files of {found.told} changed: their digest is {whole[:12]}, recorded was "
            f"{str(standing)[:12]}.",
            remedy="Register the candidate anew from the run that made it.",
        )
    tags = {MANIFEST_TAG: whole}
    if signature is not None:
        tags[SIGNATURE_TAG] = digest(signature)
    registry.set_tags(model_name, version, tags)
    return tags


def _signature(description: Path) -> Any | None:
    """Return the signature that MLflow's description of a model holds; None when it has none."""
    try:
        content = yaml.safe_load(description.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelCopyError(
            f"The model's {DESCRIPTION} cannot be read.", remedy="Log the model again."
        ) from error
    signature = content.get("signature") if isinstance(content, dict) else None
    return signature if isinstance(signature, dict) and signature.get("inputs") else None
