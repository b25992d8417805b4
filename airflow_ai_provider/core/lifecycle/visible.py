"""Who may see a project and its models: one rule for pages, API, script and reports.

``visible_to`` in a project file names who may: a role of the project (``sponsor``: the person who
fills it), an Airflow user (``user:anna``) or a role of Airflow's (``role:Op``). A project without
it is for everybody who may see the pages; a model is for who may see its project and, where it has
a ``visible_to`` of its own, is named there too. To anybody else they are as if they were not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

_SCHEMES_OF_MODELS = ("mlflow", "ai-feedback", "ai-retrain", "ai-rollback")
_SCHEMES_OF_PROJECTS = ("project", "ai-project")
USER, ROLE = "user", "role"


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Somebody who looks: the names that Airflow knows one person by, and their roles in it."""

    users: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one project's newest plan says of who may see what; None means everybody."""

    project: str
    visible_to: tuple[str, ...] | None
    people: Mapping[str, str]
    models: Mapping[str, tuple[str, ...] | None]
    data: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What somebody may not see, by name; everything else they may."""

    projects: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()

    def __or__(self, other: Sight) -> Sight:
        """Return the sight of both together: what either may not see is hidden."""
        return Sight(
            projects=self.projects | other.projects,
            models=self.models | other.models,
            data=self.data | other.data,
        )

    def shows_project(self, name: str | None) -> bool:
        """Whether the project may be seen; no project may."""
        return name not in self.projects

    def shows_model(self, name: str) -> bool:
        """Whether the model may be seen."""
        return name not in self.models

    def shows_subject(self, subject: str) -> bool:
        """Whether what a record or an asset is about may be seen, by its URI."""
        scheme, _, rest = subject.partition("://")
        parts = [unquote(part) for part in rest.split("/")]
        if scheme in _SCHEMES_OF_PROJECTS:
            below = self.models.isdisjoint(parts[1:])  # project://NAME/pilot/MODEL
            return parts[0] not in self.projects and below
        if scheme in _SCHEMES_OF_MODELS:
            return self.models.isdisjoint((parts[0], parts[0].partition("@")[0]))
        return scheme != "ai-data" or parts[0] not in self.data

    def hidden_subjects(self) -> list[str]:
        """Return the beginnings of the records' subjects that are hidden, for a database.

        Meant are those that are one of these, or go on from it with ``/`` or ``@``: nearly all
        that ``shows_subject`` hides.
        """
        return [
            *(f"project://{name}" for name in self.projects),
            *(f"mlflow://{name}" for name in self.models),
            *(f"ai-data://{name}" for name in self.data),
        ]

    def cut(self, value: Any) -> Any:
        """Return JSON-like ``value`` without what names a hidden project or model.

        An entry of a list goes whole when any word in it does, an entry of an object when its key
        or its own text does, and a text is left empty.
        """
        if self._names is None:
            return value
        return _cut(value, self._names)

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        names = sorted(self.projects | self.models)
        if not names:
            return None
        return re.compile(
            rf"(?<![A-Za-z0-9_])(?:{'|'.join(map(re.escape, names))})(?![A-Za-z0-9_])"
        )


EVERYTHING = Sight()


def admits(visible_to: Sequence[str] | None, people: Mapping[str, str], viewer: Viewer) -> bool:
    """Whether ``visible_to`` names the viewer; ``people`` are the project's users by role."""
    return visible_to is None or any(_means(entry, people, viewer) for entry in visible_to)


def sight(rules: Iterable[Rule], viewer: Viewer) -> Sight:
    """Return what the viewer may not see.

    A model that several projects name is hidden by each of them: nobody can open another's model
    by naming it. A data source is hidden where every project that names it is.
    """
    projects, models = set(), set()
    data: dict[bool, set[str]] = {True: set(), False: set()}
    for rule in rules:
        seen = admits(rule.visible_to, rule.people, viewer)
        data[seen] |= rule.data
        if not seen:
            projects.add(rule.project)
        models |= {
            model
            for model, visible_to in rule.models.items()
            if not seen or not admits(visible_to, rule.people, viewer)
        }
    return Sight(
        projects=frozenset(projects),
        models=frozenset(models),
        data=frozenset(data[False] - data[True]),
    )


def readers(named: Sequence[str] | None, people: Mapping[str, str]) -> tuple[Viewer, ...]:
    """Return those whom a report is for, each as if alone; None: for anybody, whoever that is."""
    return tuple(_reader(entry, people) for entry in named or ()) or (Viewer(),)


def rule_of(project: str, plan: Mapping[str, Any]) -> Rule:
    """Return what a stored plan says; what cannot be understood names nobody."""
    people = plan.get("people")
    found = people.items() if isinstance(people, Mapping) else ()
    uses = [use for use in plan.get("use_cases") or () if isinstance(use, Mapping)]
    sources = [s for s in plan.get("data_sources") or () if isinstance(s, Mapping)]
    return Rule(
        project=project,
        visible_to=_entries(plan.get("visible_to")),
        people={
            str(role): str(who["user"])
            for role, who in found
            if isinstance(who, Mapping) and who.get("user")
        },
        models={str(use.get("name")): _entries(use.get("visible_to")) for use in uses},
        data=frozenset(str(source.get("name")) for source in sources),
    )


def with_past(rule: Rule, plans: Iterable[Mapping[str, Any]]) -> Rule:
    """Return ``rule`` with the models and data that only earlier ``plans`` name, as each last did.

    What was hidden once is not shown because a later plan no longer names it.
    """
    models, data = dict(rule.models), set(rule.data)
    for plan in plans:  # the newest first
        past = rule_of(rule.project, plan)
        models = {**past.models, **models}
        data |= past.data
    return replace(rule, models=models, data=frozenset(data))


def _entries(said: Any) -> tuple[str, ...] | None:
    if said is None:
        return None
    return tuple(map(str, said)) if isinstance(said, (list, tuple)) else ()


def _means(entry: str, people: Mapping[str, str], viewer: Viewer) -> bool:
    kind, separator, name = entry.partition(":")
    if not separator:
        return people.get(entry) in viewer.users
    if kind == ROLE:
        return name.casefold() in {role.casefold() for role in viewer.roles}
    return kind == USER and name in viewer.users


def _reader(entry: str, people: Mapping[str, str]) -> Viewer:
    kind, separator, name = entry.partition(":")
    if not separator:
        return Viewer(users=frozenset({people[entry]} if entry in people else ()))
    if kind == ROLE:
        return Viewer(roles=frozenset({name}))
    return Viewer(users=frozenset({name} if kind == USER else ()))


def _cut(value: Any, names: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return "" if names.search(value) else value
    if isinstance(value, Mapping):
        return {
            key: _cut(entry, names)
            for key, entry in value.items()
            if not names.search(str(key)) and not (isinstance(entry, str) and names.search(entry))
        }
    if isinstance(value, (list, tuple)):
        return [_cut(entry, names) for entry in value if not _says(entry, names)]
    return value


def _says(value: Any, names: re.Pattern[str]) -> bool:
    if isinstance(value, Mapping):
        return any(_says(part, names) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return any(_says(entry, names) for entry in value)
    return isinstance(value, str) and names.search(value) is not None
