"""Projects and what their milestones left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateDraft, GateRecord, plain
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import deliverable, project, project_version
from airflow_ai_provider.store.upsert import dialect_insert


@dataclass(frozen=True, kw_only=True)
class ProjectRow:
    """A project as the store knows it: the plan that was last read, and the phase it is in."""

    name: str
    title: str | None
    owner: str
    path: str
    digest: str
    plan: Mapping[str, Any]
    phase: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class PlanVersion:
    """A version of a project file: its digest, its text, the plan in it, when it was first read."""

    digest: str
    text: str
    plan: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class DeliverableRow:
    """One deliverable as it holds now: value, who gave it, and the gate record it came with."""

    project: str
    milestone: str
    name: str
    kind: str
    value: Any
    by: str
    record: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class NewDeliverable:
    """A deliverable to be kept: measured (``m``) or answered (``p``), and by whom."""

    name: str
    kind: str
    value: Any
    by: str


class Projects:
    """The projects of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ledger = Ledger(store)

    def note(
        self,
        *,
        name: str,
        title: str | None,
        owner: str,
        path: str,
        digest: str,
        plan: Any,
        text: str,
    ) -> None:
        """Keep the plan of project ``name`` as it was just read, and its file's text once."""
        with self.store.write() as connection:
            now = self.store.utcnow(connection)
            values: dict[str, Any] = {
                "title": title,
                "owner": owner,
                "path": path,
                "digest": digest,
                "plan": plain(plan),
                "updated_at": now,
            }
            new = dialect_insert(connection, project).values(
                name=name, phase="discovery", created_at=now, **values
            )
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["name"], set_={key: new.excluded[key] for key in values}
                )
            )
            version = dialect_insert(connection, project_version).values(
                project=name, digest=digest, text=text, plan=values["plan"], at=now
            )
            connection.execute(version.on_conflict_do_nothing())

    def get(self, name: str) -> ProjectRow | None:
        """Return the project ``name``; None when the store never saw it."""
        with self.store.read() as connection:
            row = connection.execute(sa.select(project).where(project.c.name == name)).first()
        return ProjectRow(**row._mapping) if row else None

    def versions(self, name: str) -> list[PlanVersion]:
        """Return every version of the project's file, in the order in which they were read."""
        columns = [project_version.c[key] for key in ("digest", "text", "plan", "at")]
        statement = (
            sa.select(*columns)
            .where(project_version.c.project == name)
            .order_by(project_version.c.id)
        )
        with self.store.read() as connection:
            return [PlanVersion(**row._mapping) for row in connection.execute(statement)]

    def plans(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return every project's name and newest plan."""
        with self.store.read() as connection:
            rows = connection.execute(sa.select(project.c.name, project.c.plan)).all()
        return [(row.name, row.plan) for row in rows]

    def earlier_plans(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``use_cases`` and ``data_sources`` of projects' plans but the newest ones.

        By project, the newest first.
        """
        parts = [project_version.c.plan[key].label(key) for key in ("use_cases", "data_sources")]
        statement = (
            sa.select(project_version.c.project, *parts)
            .join(project, project.c.name == project_version.c.project)
            .where(project.c.digest != project_version.c.digest)
            .order_by(project_version.c.id.desc())
        )
        found: dict[str, list[dict[str, Any]]] = {}
        with self.store.read() as connection:
            for name, uses, sources in connection.execute(statement):
                plan = {"use_cases": uses, "data_sources": sources}
                found.setdefault(name, []).append(plan)
        return found

    def all(self) -> list[ProjectRow]:
        """Return every project, by name."""
        with self.store.read() as connection:
            rows = connection.execute(sa.select(project).order_by(project.c.name)).all()
        return [ProjectRow(**row._mapping) for row in rows]

    def decide(
        self,
        name: str,
        draft: GateDraft,
        *,
        key: str | None,
        milestone: str | None = None,
        deliverables: Iterable[NewDeliverable] = (),
        move: tuple[str, str] | None = None,
    ) -> GateRecord:
        """Write a decision with what came of it, whole or not at all, and return its record.

        ``deliverables`` are those of ``milestone``. ``move`` is the phase that the project was in
        and the one it enters; a project that is elsewhere by now stays there. The same ``key``
        again adds nothing.
        """
        with self.store.write() as connection:
            record = self._ledger.append_in(connection, draft, key=key)
            now = self.store.utcnow(connection)
            for new in deliverables:
                known = {
                    "project": name,
                    "milestone": milestone,
                    "name": new.name,
                    "kind": new.kind,
                    "record": record.id,
                }
                standing = sa.select(deliverable.c.id).filter_by(**known)
                if connection.execute(standing).first() is None:
                    connection.execute(
                        deliverable.insert().values(
                            **known, value=plain(new.value), by=new.by, at=now
                        )
                    )
            if move:
                connection.execute(
                    project.update()
                    .where(project.c.name == name, project.c.phase == move[0])
                    .values(phase=move[1], updated_at=now)
                )
            return record

    def deliverables(self, name: str) -> list[DeliverableRow]:
        """Return what holds now of project ``name``: of each deliverable the newest."""
        newest = (
            sa.select(sa.func.max(deliverable.c.id))
            .where(deliverable.c.project == name)
            .group_by(deliverable.c.milestone, deliverable.c.name, deliverable.c.kind)
        )
        columns = [column for column in deliverable.columns if column.name != "id"]
        statement = (
            sa.select(*columns).where(deliverable.c.id.in_(newest)).order_by(deliverable.c.id)
        )
        with self.store.read() as connection:
            return [DeliverableRow(**row._mapping) for row in connection.execute(statement)]
