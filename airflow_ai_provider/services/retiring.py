"""Maintenance: a model retires, its files are archived, a project is handed over.

A retired model is in no environment any more, so it no longer counts as live; its versions stay in
the registry and every decision on it stays in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_ai_provider.adapters.model_tree import sha256_of
from airflow_ai_provider.core.errors import LifecycleError, ModelCopyError
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
)
from airflow_ai_provider.core.promotion.copying import ModelFiles, manifest_digest, safe_path
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.project_file import ProjectFile
from airflow_ai_provider.services.promotion.moving import Move, make_move
from airflow_ai_provider.services.promotion.timeline import holders
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.model_places import ModelPlaces
from airflow_ai_provider.store.promotion import Promotions

RETIRED = "retired"
_PATIENCE = 30.0  # seconds to wait for a move that is under way


@dataclass(frozen=True, kw_only=True)
class Retired:
    """A model that is in no environment any more: its records, and where it is archived."""

    model_name: str
    versions: dict[str, str]
    records: Sequence[GateRecord]
    archive: dict[str, str]


def retire_model(
    file: ProjectFile,
    model_name: str,
    *,
    by: str,
    reason: str,
    store: Store,
    registry: ModelRegistry,
    files: ModelFiles | None = None,
    archive: Path | None = None,
    origin: Origin | None = None,
) -> Retired:
    """Take ``model_name`` out of every environment, after archiving what is there.

    ``by`` is the person of the role operations, or of the project's override role. Again, it does
    nothing. ``archive`` is a folder: the files of each version go there, each with its digest.

    :raises LifecycleError: somebody else asks, there is no reason, or the model is not the
        project's.
    :raises PromotionConflictError: somebody moves the model meanwhile.
    """
    project = file.project
    _may(file, by)
    if model_name not in {use_case.name for use_case in project.use_cases}:
        raise LifecycleError(
            f"{project.name} has no model {model_name}.", remedy="Name one of its use cases."
        )
    if not reason.strip():
        raise LifecycleError("A model retires for a reason.", remedy="Say which.")
    ledger = Ledger(store)
    held = {e: str(i["version"]) for e, i in holders(model_name, ledger=ledger).items()}
    kept = {
        version: _archived(model_name, version, files, archive)
        for version in sorted(set(held.values()))
        if files is not None and archive is not None
    }
    records = []
    for environment in reversed(DEFAULT_PATH.names):  # what people see goes first
        if environment not in held:
            continue
        evidence = {
            "why": f"Retired: {reason.strip()}",
            "archive": kept.get(held[environment]),
            "project": project.name,
        }
        last = holders(model_name, ledger=ledger)[environment]["record"]
        moved = make_move(
            _leaving(model_name, environment, held[environment], by, evidence, origin),
            promotions=Promotions(store),
            registry=registry,
            key=f"retire:{last}",
            moved_by=by,
            patience=_PATIENCE,
        )
        records.append(moved.record)
    return Retired(model_name=model_name, versions=held, records=records, archive=kept)


def _leaving(
    model_name: str,
    environment: str,
    version: str,
    by: str,
    evidence: Mapping[str, str | None],
    origin: Origin | None,
) -> Move:
    """Return the move that takes ``version`` out of ``environment`` and puts nothing there."""
    draft = GateDraft(
        kind=GateKind.PROMOTION,
        subject=version_subject(model_name, version),
        verdict=Verdict.PASS,
        evidence={
            "model_name": model_name,
            "environment": environment,
            "from": version,
            "to": None,
            "moved_by": by,
            **evidence,
        },
        decided_by=by,
        origin=origin or Origin(),
    )
    return Move(
        model_name=model_name,
        environment=environment,
        version=None,
        expected=version,
        draft=draft,
        left_as=RETIRED,
    )


def hand_over(
    file: ProjectFile, *, by: str, store: Store, reason: str = "", origin: Origin | None = None
) -> GateRecord:
    """Let operations take the project over: it enters maintenance, with a gate record.

    The record says which version of which model was in production then. The same file taken over
    again adds nothing.

    :raises LifecycleError: ``by`` is not the person of operations, or the project is not in
        production.
    """
    project = file.project
    if project.person("operations") != by:
        raise LifecycleError(
            f"Only who fills people.operations takes {project.name} over.",
            remedy="Let that person accept it.",
        )
    in_production(project.name, store)
    draft = GateDraft(
        kind=GateKind.PHASE,
        subject=f"project://{project.name}/maintenance",
        verdict=Verdict.PASS,
        criteria=(
            Criterion(
                name="operations_owner",
                limit="accepted by operations",
                observed="accepted",
                verdict=Verdict.PASS,
                sentence="Operations took the project over.",
            ),
        ),
        evidence={
            "project_file": file.digest,
            "models": handed_over(file, store),
            "reason": reason.strip(),
        },
        decided_by=by,
        origin=origin or Origin(),
    )
    key = f"hand over:{project.name}:{file.digest}"
    return Projects(store).decide(project.name, draft, key=key, move=("production", "maintenance"))


def in_production(name: str, store: Store) -> None:
    """Make sure that project ``name`` is in production, or was handed over already.

    :raises LifecycleError: it is in an earlier phase, or the store never saw it.
    """
    row = Projects(store).get(name)
    if row is None or row.phase not in {"production", "maintenance"}:
        remedy = "Let it pass the gates before."
        raise LifecycleError(f"{name} is not in production.", remedy=remedy)


def handed_over(file: ProjectFile, store: Store) -> dict[str, str]:
    """Return the version of each of the project's models that is in production."""
    names = [use_case.name for use_case in file.project.use_cases]
    places = ModelPlaces(store).of(names)
    last = DEFAULT_PATH.last
    return {n: str(places[n][last]["version"]) for n in names if last in places.get(n, {})}


def _may(file: ProjectFile, by: str) -> None:
    project = file.project
    roles = ("operations", project.override_role)
    if by not in {project.person(role) for role in roles}:
        raise LifecycleError(
            f"Only {' or '.join(roles)} of {project.name} may retire a model.",
            remedy="Let one of them ask.",
        )


def _archived(model_name: str, version: str, files: ModelFiles, archive: Path) -> str:
    """Write a version's files under ``archive`` and return their digest."""
    found = files.describe(model_name, version)
    if not found.files:
        raise ModelCopyError(f"{found.told} has no files.", remedy="Retire it without an archive.")
    digests = {}
    for path in sorted(found.files):
        target = archive / model_name / version / safe_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.fetch(model_name, version, path, target)
        digests[path] = sha256_of(target)
    return manifest_digest(digests)
