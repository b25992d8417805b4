"""Rolling wave: what is near is planned in detail, what is far coarsely, and refined later.

A plan may say more than the one before it, and change its mind; it may not forget. A milestone of
the plan before is there still, or it was coarse and others say that they refine it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.lifecycle.project import PHASES, Project

_NAMED = ("kpis", "data_sources", "use_cases", "milestones", "iterations", "risks")
_BY_KEY = ("people", "budget", "compliance", "retrospectives")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that a plan says otherwise than the one before: what, and how."""

    field: str
    what: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What changed from one plan to the next, and what it forgot; ``forgotten`` refuses it."""

    changes: tuple[Change, ...]
    forgotten: tuple[str, ...]


def refinement(before: Mapping[str, Any], after: Project, *, phase: str) -> Refinement:
    """Return what changed from the plan ``before``, as it was stored, while in ``phase``."""
    now = after.model_dump(mode="json")
    return Refinement(
        changes=tuple(_changes(before, now)), forgotten=tuple(_forgotten(before, now, phase))
    )


def _forgotten(before: Mapping[str, Any], now: Mapping[str, Any], phase: str) -> Iterator[str]:
    there = {m["name"] for m in now["milestones"]}
    refined = {m["refines"] for m in now["milestones"] if m.get("refines")}
    known = {m["name"]: m for m in before.get("milestones", ())}
    passed = PHASES[: PHASES.index(phase)] if phase in PHASES else ()
    for name, milestone in known.items():
        if name in there:
            continue
        if milestone["phase"] in passed:
            yield (
                f"The milestone {name} is gone, and its phase {milestone['phase']} has passed: "
                "keep it as it was."
            )
        elif name not in refined:
            yield f"The milestone {name} is gone: keep it, or let others say `refines: {name}`."
        elif not milestone.get("coarse"):
            yield f"The milestone {name} was planned in detail and is refined: keep it beside."
    before_refined = {m["refines"] for m in known.values() if m.get("refines")}
    for name in sorted(refined - set(known) - there - before_refined):
        yield f"There was no milestone {name} that could be refined: correct `refines`."


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for section in now:
        old, new = before.get(section), now[section]
        if old == new:
            continue
        if section in _NAMED:
            yield from _parts(
                section, {p["name"]: p for p in old or ()}, {p["name"]: p for p in new}
            )
        elif section in _BY_KEY:
            yield from _parts(section, old or {}, new)
        elif section in before or new not in (None, [], {}):
            yield Change(field=section, what="changed", before=old, after=new)


def _parts(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*old, *new]):
        place = f"{section}.{name}"
        if name not in new:
            yield Change(field=place, what="removed", before=old[name])
        elif name not in old:
            yield Change(field=place, what="added", after=new[name])
        else:
            for key in dict.fromkeys([*old[name], *new[name]]):
                was, is_ = old[name].get(key), new[name].get(key)
                if was != is_ and not (key not in old[name] and is_ in (None, [], {}, False)):
                    yield Change(field=f"{place}.{key}", what="changed", before=was, after=is_)
