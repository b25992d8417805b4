"""Who may see what of a store's projects and models, as their newest plans say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from airflow_ai_provider.core.lifecycle.visible import (
    Rule,
    Sight,
    Viewer,
    readers,
    rule_of,
    sight,
    with_past,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.lifecycle import Projects


def sight_of(store: Store, viewer: Viewer) -> Sight:
    """Return what ``viewer`` may not see; two questions to the store."""
    return sight(_rules(store), viewer)


def sight_for_readers(store: Store, project: str, named: Sequence[str] | None) -> Sight:
    """Return what somebody of the ``named`` may not see: a report for them all leaves it out.

    Without names the report is for those whom the project itself names, or else for everybody.
    """
    rules = _rules(store)
    own = next((rule for rule in rules if rule.project == project), None)
    people = own.people if own else {}
    wanted = named if named is not None or own is None else own.visible_to
    return reduce(Sight.__or__, (sight(rules, each) for each in readers(wanted, people)))


def _rules(store: Store) -> list[Rule]:
    projects = Projects(store)
    past = projects.earlier_plans()
    return [with_past(rule_of(name, plan), past.get(name, ())) for name, plan in projects.plans()]
