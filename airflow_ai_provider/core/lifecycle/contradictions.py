"""What is wrong with a project file though each field alone is right."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_ai_provider.core.lifecycle.kpis import measure_faults
from airflow_ai_provider.core.lifecycle.nodes import Steps
from airflow_ai_provider.core.lifecycle.project import Project

PLACES = ("home", "here")
_PLACE = re.compile(r"\{(\w*)\}")


def contradictions(project: Project) -> Iterator[tuple[Steps, str, str]]:
    """Yield what each field alone does not show."""
    yield from _doubles(project)
    sources = [source.name for source in project.data_sources]
    for i, source in enumerate(project.data_sources):
        if (source.conn_id is None) != (source.table is None) or (source.table and source.location):
            yield (
                ("data_sources", i),
                f"It is not said where {source.name} lies.",
                "Give location, or conn_id and table.",
            )
    for i, use_case in enumerate(project.use_cases):
        if use_case.data_source not in sources:
            yield (
                ("use_cases", i, "data_source"),
                f"There is no data source {use_case.data_source}.",
                f"Name one of {', '.join(sources)}, or describe it under data_sources.",
            )
        for j, tool in enumerate(use_case.needs):
            if tool not in {known.name for known in project.technology.tools}:
                yield (
                    ("use_cases", i, "needs", j),
                    f"There is no tool {tool}.",
                    "Describe it under technology.tools.",
                )
        if use_case.pilot and use_case.criteria is None:
            yield (
                ("use_cases", i),
                f"The pilot {use_case.name} has no criteria.",
                "Add criteria with a list pilot, agreed before anything is trained.",
            )
    yield from _unknown_places(project)
    yield from _people(project)
    yield from _approvals(project)
    yield from _viewers(project)
    yield from _plan(project)
    yield from _figures(project)
    yield from _iterations(project)


def _doubles(project: Project) -> Iterator[tuple[Steps, str, str]]:
    for section in ("kpis", "data_sources", "use_cases", "milestones", "risks", "iterations"):
        seen: set[str] = set()
        for i, part in enumerate(getattr(project, section)):
            if part.name in seen:
                yield (section, i, "name"), f"The name {part.name} stands twice.", "Rename one."
            seen.add(part.name)


def _unknown_places(project: Project) -> Iterator[tuple[Steps, str, str]]:
    for i, source in enumerate(project.data_sources):
        for field in ("location", "sample", "suite"):
            for place in _PLACE.findall(getattr(source, field) or ""):
                if place not in PLACES:
                    yield (
                        ("data_sources", i, field),
                        f"Nothing is known to stand for {{{place}}}.",
                        "Use {home} for Airflow's home or {here} for this file's folder.",
                    )


def _people(project: Project) -> Iterator[tuple[Steps, str, str]]:
    for section in ("milestones", "risks"):
        for i, part in enumerate(getattr(project, section)):
            if project.person(part.owner) is None:
                yield (
                    (section, i, "owner"),
                    f"Nobody fills the role {part.owner}.",
                    f"Name an Airflow user under people.{part.owner}.",
                )
    for topic, answer in project.compliance.items():
        if project.person(answer.owner) is None:
            yield (
                ("compliance", topic, "owner"),
                f"Nobody fills the role {answer.owner}.",
                f"Name an Airflow user under people.{answer.owner}.",
            )
    for i, milestone in enumerate(project.milestones):
        for role in milestone.people:
            if project.person(role) is None:
                yield (
                    ("milestones", i, "people", role),
                    f"Nobody fills the role {role}.",
                    f"Name an Airflow user under people.{role}.",
                )


def _viewers(project: Project) -> Iterator[tuple[Steps, str, str]]:
    models = enumerate(project.use_cases)
    places: list[tuple[Steps, tuple[str, ...]]] = [
        (("visible_to",), project.visible_to or ()),
        *((("use_cases", i, "visible_to"), use_case.visible_to or ()) for i, use_case in models),
    ]
    for place, named in places:
        for i, who in enumerate(named):
            if ":" not in who and project.person(who) is None:
                yield (
                    (*place, i),
                    f"Nobody fills the role {who}.",
                    f"Name an Airflow user under people.{who}, or name user:NAME or role:NAME.",
                )


def _approvals(project: Project) -> Iterator[tuple[Steps, str, str]]:
    users, needed = project.approving_users, project.approvals_needed
    if needed > max(len(users), 1):
        yield (
            ("approvals_needed",),
            f"{needed} people must approve, and {len(users)} may: {', '.join(users) or 'nobody'}.",
            "Name more roles under approvers, filled by users other than the owner.",
        )


def _plan(project: Project) -> Iterator[tuple[Steps, str, str]]:
    names = {milestone.name for milestone in project.milestones}
    for i, milestone in enumerate(project.milestones):
        for j, before in enumerate(milestone.after):
            if before not in names:
                yield _no_milestone(("milestones", i, "after", j), before)
        estimate = milestone.estimate
        if estimate and not estimate.best <= estimate.likely <= estimate.worst:
            yield (
                ("milestones", i, "estimate"),
                "The estimate runs backwards.",
                "Give best <= likely <= worst.",
            )
    after = {m.name: [b for b in m.after if b in names] for m in project.milestones}
    while free := [name for name, before in after.items() if not before]:
        for name in free:
            del after[name]
        after = {name: [b for b in before if b not in free] for name, before in after.items()}
    if after:
        index = next(i for i, m in enumerate(project.milestones) if m.name in after)
        yield (
            ("milestones", index, "after"),
            f"These milestones wait for each other: {', '.join(after)}.",
            "Remove one of their dependencies.",
        )


def _figures(project: Project) -> Iterator[tuple[Steps, str, str]]:
    measured = {kpi.name for kpi in project.kpis if kpi.measure}
    for i, kpi in enumerate(project.kpis):
        for message, remedy in measure_faults(kpi.measure) if kpi.measure else ():
            yield ("kpis", i, "measure"), message, remedy
    for i, risk in enumerate(project.risks):
        trigger = risk.trigger
        if trigger is None:
            continue
        if trigger.kpi not in measured:
            yield (
                ("risks", i, "trigger", "kpi"),
                f"There is no KPI {trigger.kpi} with a measure.",
                f"Name one of {', '.join(sorted(measured))}, or give that KPI a measure."
                if measured
                else "Give that KPI a measure under kpis.",
            )
        if (trigger.above is None) == (trigger.below is None):
            yield (
                ("risks", i, "trigger"),
                "The trigger needs one limit.",
                "Give above or below, and not both.",
            )


def _no_milestone(place: Steps, name: str) -> tuple[Steps, str, str]:
    return place, f"There is no milestone {name}.", "Name one of this plan."


def _iterations(project: Project) -> Iterator[tuple[Steps, str, str]]:
    names = {milestone.name for milestone in project.milestones}
    for i, iteration in enumerate(project.iterations):
        if iteration.end < iteration.start:
            yield (
                ("iterations", i, "end"),
                f"The iteration {iteration.name} ends before it begins.",
                "Give start <= end.",
            )
        for j, name in enumerate(iteration.milestones):
            if name not in names:
                yield _no_milestone(("iterations", i, "milestones", j), name)
