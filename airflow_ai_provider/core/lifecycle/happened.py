"""When milestones were begun and done, as far as the ledger's decisions tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.lifecycle.critical_path import ordered_works
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import PHASES
from airflow_ai_provider.core.lifecycle.timeline import Happened


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision on a project: of which subject, how, and when."""

    subject: str
    verdict: str
    at: datetime


def subjects_of(project: str) -> list[str]:
    """Return the subjects of the decisions that tell how far ``project`` is."""
    return [
        *(f"project://{project}/{phase}" for phase in PHASES),
        *(f"project://{project}/discovery/{definition.name}" for definition in MILESTONES),
    ]


def passed(project: str, decisions: Iterable[Decided]) -> dict[str, datetime]:
    """Return when each phase was left and each milestone of discovery was done, by name.

    The first pass counts: a phase that is judged again was left when it was first let go.
    """
    found: dict[str, datetime] = {}
    for decision in decisions:
        name = decision.subject.removeprefix(f"project://{project}/").removeprefix("discovery/")
        if Verdict(decision.verdict).lets_pass:
            found[name] = min(found.get(name, decision.at), decision.at)
    return found


def happened(
    milestones: Sequence[Mapping[str, Any]],
    done: Mapping[str, datetime],
    *,
    began: date,
    given: Mapping[str, Happened] | None = None,
) -> dict[str, Happened]:
    """Return when each milestone of the plan was begun and done.

    One that has the name of a milestone of discovery is done with it; any other is done when its
    phase was left. It is begun once its phase was entered and all before it was done. Of one that
    alone stands for discovery as much is done as milestones of discovery have passed their gates.
    ``given``, such as the task instances and approvals that a caller knows of, goes before all.
    """
    by_name = {str(m["name"]): m for m in milestones}
    whole = [n for n, m in by_name.items() if str(m.get("phase") or PHASES[0]) == PHASES[0]]
    shares = {whole[0]: _discovered(done)} if len(whole) == 1 else {}
    found: dict[str, Happened] = {}
    for name in ordered_works({n: tuple(m.get("after") or ()) for n, m in by_name.items()}):
        told = (given or {}).get(name, Happened())
        phase = str(by_name[name].get("phase") or "discovery")
        end = told.finished or _day(done.get(name) or done.get(phase))
        before = [found[a].finished for a in by_name[name].get("after") or () if a in found]
        entered = began if phase == PHASES[0] else _day(done.get(PHASES[PHASES.index(phase) - 1]))
        ready = [day for day in before if day is not None]
        start = told.started
        if start is None and entered is not None and len(ready) == len(before):
            start = max([entered, *ready])
        if start is None and end is not None:
            start = max([began, *ready])
        found[name] = Happened(
            started=start if end is None or start is None else min(start, end),
            finished=end,
            share=0.0 if end is not None else told.share or shares.get(name, 0.0),
        )
    return found


def _discovered(done: Mapping[str, datetime]) -> float:
    """Return the share of discovery's own milestones that are done."""
    return sum(definition.name in done for definition in MILESTONES) / len(MILESTONES)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
