"""Copy a model version to another server, whole or not at all.

1. The source is described and its files are fetched into a working folder.
2. A run on the target server takes metrics, parameters and files.
3. Every file is read back from there and must have the digest of what was fetched.
4. Only then the version is made, with its lineage in its tags, and the ledger record is written.

Each step finds what an earlier try did: a copy that died goes on where it was, and a version is
never made of half a model. Of several tasks that copy the same version one does, on a guarded row
of the store as moves are; the others wait and find what it made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_ai_provider.adapters.model_tree import sha256_of
from airflow_ai_provider.core.errors import ModelCopyError
from airflow_ai_provider.core.gate import GateDraft, GateKind, GateRecord, Origin, Verdict
from airflow_ai_provider.core.promotion.copying import (
    COPY_TAG,
    MANIFEST_TAG,
    SOURCE_TAG,
    ModelDescription,
    ModelFiles,
    manifest_digest,
    safe_path,
)
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion
from airflow_ai_provider.services.promotion.copy_turn import LIMIT, CopyTurn
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions

_OUR_TAGS = "airflow_ai."


@dataclass(frozen=True, kw_only=True)
class CopyOrder:
    """Which version is to be copied, and the name it gets on the target server.

    The ledger knows models by name, so the copy's name is another one, such as
    ``production.flights``.
    """

    model_name: str
    version: str
    target_name: str
    project: str | None = None


@dataclass(frozen=True, kw_only=True)
class Copied:
    """The version on the target server, and the record of the copy."""

    version: ModelVersion
    record: GateRecord
    source: ModelDescription


def copy_model(
    order: CopyOrder,
    *,
    source: ModelFiles,
    target: ModelFiles,
    registry: ModelRegistry,
    ledger: Ledger,
    copied_by: str,
    work: Path | None = None,
    decided_by: str = "copy_model",
    origin: Origin | None = None,
    patience: float = 30.0,
) -> Copied:
    """Copy ``order.version`` to ``target``, whose registry is ``registry``, once.

    ``copied_by`` names who copies, the same for every try. ``work`` is the folder for files on
    their way; one of this user's own unless said. ``patience`` is the seconds to wait for another
    task that copies the same version.

    :raises ModelCopyError: the version cannot be copied, or a file arrived changed.
    :raises PromotionConflictError: another task still copies it; names who.
    :raises RegistryError: a server refuses, or does not answer.
    """
    if order.target_name == order.model_name:
        raise ModelCopyError(
            f"The copy of {order.model_name} needs a name of its own: the ledger knows models by "
            "name, and the versions of two servers would be one there.",
            remedy=f"Name it after its environment, such as production.{order.model_name}.",
        )
    model = source.describe(order.model_name, order.version)
    standing = _made(order, model, registry)
    if standing is None:
        promotions = Promotions(ledger.store, claim_limit=LIMIT)
        with CopyTurn(model, copied_by, promotions, patience) as turn:
            standing = _made(order, model, registry)  # by whom this task waited for
            standing = standing or _make(order, model, source, target, registry, turn, work)
    draft = _draft(order, model, standing, decided_by, origin or Origin())
    record = ledger.append(draft, key=f"copy:{model.key}:{order.target_name[:100]}")
    return Copied(version=standing, record=record, source=model)


def _make(
    order: CopyOrder,
    model: ModelDescription,
    source: ModelFiles,
    target: ModelFiles,
    registry: ModelRegistry,
    turn: CopyTurn,
    work: Path | None,
) -> ModelVersion:
    _check(model)
    with _Folder(model.key, work) as folder:
        digests = _fetch_all(model, source, folder.path, turn)
        uri, run_id = _store_all(model, digests, target, folder.path, turn)
    registry.create_model(order.target_name)
    tags = _tags(model, digests)
    return turn.make(
        lambda: registry.create_version(order.target_name, model_uri=uri, run_id=run_id, tags=tags)
    )


def _made(
    order: CopyOrder, model: ModelDescription, registry: ModelRegistry
) -> ModelVersion | None:
    """Return the version that an earlier try made; the oldest, should there be two."""
    for version in registry.find_versions(order.target_name):
        if version.tags.get(COPY_TAG) == model.key:
            return version
    return None


def _check(model: ModelDescription) -> None:
    if model.status != "READY":
        raise ModelCopyError(f"{model.told} is {model.status}, not READY.", remedy="Wait for it.")
    if not model.files:
        raise ModelCopyError(f"{model.told} has no files.", remedy="Log the model again.")
    for path in model.files:
        safe_path(path)


def _fetch_all(
    model: ModelDescription, source: ModelFiles, folder: Path, turn: CopyTurn
) -> dict[str, str]:
    """Fetch what is not there yet, and return the digest of each file."""
    digests = {}
    for path, size in sorted(model.files.items()):
        turn.go_on()
        file = folder / "files" / safe_path(path)
        if not file.exists() or file.stat().st_size != size:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = folder / "part"
            source.fetch(model.name, model.version, path, part)
            if part.stat().st_size != size:
                raise ModelCopyError(
                    f"{path} of {model.told} came with {part.stat().st_size} of {size} bytes.",
                    remedy="Try again.",
                    path=path,
                )
            part.replace(file)  # a file that is there is whole
        digests[path] = sha256_of(file)
    recorded = model.tags.get(MANIFEST_TAG)
    if recorded is not None and recorded != manifest_digest(digests):
        raise ModelCopyError(
            f"The files of {model.told} are not those that were once copied there: their digest is "
            f"{manifest_digest(digests)[:12]}, recorded was {recorded[:12]}.",
            remedy="Somebody changed the files: copy the version anew from where it was made.",
        )
    return digests


def _store_all(
    model: ModelDescription,
    digests: Mapping[str, str],
    target: ModelFiles,
    folder: Path,
    turn: CopyTurn,
) -> tuple[str, str]:
    """Bring the files to the target and read every one back; return where they are."""
    run_id = target.find_copy(model.key) or target.start_copy(model.key, model)
    target.log(run_id, model)
    for path, expected in digests.items():
        turn.go_on()
        if _arrived(path, expected, run_id, target, folder):
            continue  # an earlier try brought it
        target.store(run_id, path, folder / "files" / safe_path(path))
        if not _arrived(path, expected, run_id, target, folder):
            raise ModelCopyError(
                f"{path} of {model.told} arrived changed.", remedy="Try again.", path=path
            )
    more = set(target.copied(run_id)) - set(digests)
    if more:
        raise ModelCopyError(
            f"The run {run_id} of the copy holds files that are not the model's: {sorted(more)}.",
            remedy=f"Delete the run {run_id} and try again.",
        )
    return target.finish(run_id, _tags(model, digests)), run_id


def _arrived(path: str, expected: str, run_id: str, target: ModelFiles, folder: Path) -> bool:
    if path not in target.copied(run_id):
        return False
    back = folder / "back"
    target.fetch_copied(run_id, path, back)
    return sha256_of(back) == expected


def _tags(model: ModelDescription, digests: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in model.tags.items() if not k.startswith(("mlflow.", _OUR_TAGS))}
    return {
        **kept,
        COPY_TAG: model.key,
        SOURCE_TAG: model.told,
        MANIFEST_TAG: manifest_digest(digests),
        f"{_OUR_TAGS}source_run": model.run_id or "",
    }


def _draft(
    order: CopyOrder,
    model: ModelDescription,
    version: ModelVersion,
    decided_by: str,
    origin: Origin,
) -> GateDraft:
    return GateDraft(
        kind=GateKind.PROMOTION,
        subject=version_subject(order.target_name, version.version),
        verdict=Verdict.PASS,
        evidence={
            "model_name": order.target_name,
            "version": version.version,
            "run_id": version.run_id,
            "copied_from": {
                "subject": version_subject(model.name, model.version),
                "registry": model.address,
                "run_id": model.run_id,
            },
            "manifest": version.tags.get(MANIFEST_TAG),
            "files": len(model.files),
            "bytes": sum(model.files.values()),
            "why": f"Copied from {model.told}.",
            "project": order.project,
        },
        decided_by=decided_by,
        origin=origin,
    )


class _Folder:
    """The working folder of one copy: it survives a crash and goes when the copy is there."""

    def __init__(self, key: str, work: Path | None) -> None:
        mine = Path(tempfile.gettempdir()) / f"airflow-ai-{os.getuid()}"
        self.path = (work or mine) / f"copy-{key[:32]}"

    def __enter__(self) -> _Folder:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.path.parent, self.path):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                raise ModelCopyError(
                    f"The working folder {folder} belongs to somebody else.",
                    remedy="Name another in work_dir.",
                )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
