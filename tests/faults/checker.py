"""Judges a fault run by what the holders logged; knows nothing of the store.

Each holder writes lines of JSON to a file of its own. Every line has ``e`` (what happened), ``t``
(the moment, by the boot-time clock) and ``who`` (a process's pid and start):

``ask``       it wants devices: ``ask`` (unique), ``gpus``, ``share`` (MiB)
``start``     it has them: ``ask``, ``lease``, ``fence``, ``devices`` (``host/name``)
``child``     it started a process under the lease: ``lease``, ``child``
``clash``     the kernel's own lock says that another still uses the device: ``lease``, ``device``
``end``       it is about to give them back: ``lease``
``released``  it gave them back: ``lease``
``answer``    it was told no: ``ask``, ``error`` (its class), ``reason``
``loss``      it was told that its lease was lost: ``ask``, ``lease``, ``reason``
``crash``     it met an error that it could not expect: ``error``

The harness adds ``seen`` lines: the last moment ``t`` at which the process ``who`` surely lived. A
killed holder used its devices at least until then, and so did its children.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """One lease's use of one device, as those who used it tell."""

    device: str
    asked: float
    start: float
    end: float
    fence: int
    lease: str
    share: int | None


def read_events(folder: Path) -> list[Event]:
    """Return what all logs in ``folder`` tell; in the order of time."""
    events = []
    for path in sorted(folder.glob("*.jsonl")):
        events += parse(path.read_bytes())
    return sorted(events, key=lambda event: event["t"])


def parse(content: bytes) -> list[Event]:
    """Return the events of a log; a line torn by a kill is passed over."""
    return [json.loads(line) for line in content.split(b"\n") if line.endswith(b"}")]


def uses_of(events: Iterable[Event]) -> list[Use]:
    """Return every use of every device; what nobody ended lasts while its processes lived."""
    events = list(events)
    seen = {event["who"]: event["t"] for event in events if event["e"] == "seen"}
    ended = {event["lease"]: event["t"] for event in events if event["e"] == "end"}
    children = defaultdict(list)
    for event in events:
        if event["e"] == "child":
            children[event["lease"]].append(event["child"])
    asks = {event["ask"]: event for event in events if event["e"] == "ask"}
    found = []
    for event in events:
        if event["e"] != "start":
            continue
        lease = event["lease"]
        until = ended.get(lease) or max(event["t"], seen.get(event["who"], 0.0))
        until = max([until, *(seen.get(who, 0.0) for who in children[lease])])
        ask = asks[event["ask"]]
        found += [
            Use(name, ask["t"], event["t"], until, event["fence"], lease, ask["share"])
            for name in event["devices"]
        ]
    return found


def faults_in(
    events: list[Event], capacity: Mapping[str, int], *, loss_is_a_fault: bool = True
) -> list[str]:
    """Return a sentence for each thing that must not be; ``capacity`` is in MiB by device."""
    uses = uses_of(events)
    by_device: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        by_device[use.device].append(use)
    found = [f"{name} is no device" for name in by_device.keys() - capacity.keys()]
    for name, those in by_device.items():
        those.sort(key=lambda use: use.start)
        found += _overlaps(name, those, capacity.get(name, 0))
        found += _falling_fences(name, those)
    found += _not_what_was_asked(events)
    for event in events:
        if event["e"] == "clash":
            found.append(f"{event['device']} was still in use: {event}")
        if event["e"] == "crash":
            found.append(f"an error that is none of ours: {event}")
        if event["e"] == "loss" and loss_is_a_fault:
            found.append(f"a living holder lost its lease: {event}")
    return found


def unanswered(events: Iterable[Event]) -> set[str]:
    """Return the asks that came to nothing: not granted, not refused with a reason."""
    asked, answered = set(), set()
    for event in events:
        if event["e"] == "ask":
            asked.add(event["ask"])
        if event["e"] == "start" or (event["e"] == "answer" and event["reason"]):
            answered.add(event["ask"])
    return asked - answered


def _overlaps(name: str, uses: list[Use], capacity: int) -> Iterator[str]:
    """Yield where more was used than there is, sweeping over the starts."""
    live: list[Use] = []
    for use in uses:
        live = [other for other in live if other.end > use.start]
        live.append(use)
        if sum(capacity if u.share is None else u.share for u in live) > capacity:
            yield f"{name} was used beyond its capacity: {live}"


def _falling_fences(name: str, uses: list[Use]) -> Iterator[str]:
    """Yield leases with no higher fence than one that was over before they came.

    A share may be granted beside another and begin after that one's end; so of two shares the later
    is one that was not even asked for when the other ended.
    """
    wholes = _highest_by_end(use for use in uses if use.share is None)
    shares = _highest_by_end(use for use in uses if use.share is not None)
    for use in uses:
        earlier = max(
            _highest_before(use.start, wholes),
            _highest_before(use.start if use.share is None else use.asked, shares),
        )
        if use.fence <= earlier:
            yield f"{name}: fence {use.fence} of {use.lease} came after {earlier}"
    for one, other in pairwise(sorted(uses, key=lambda use: use.fence)):
        if one.fence == other.fence:
            yield f"{name}: {one.lease} and {other.lease} have the same fence {one.fence}"


def _highest_by_end(uses: Iterable[Use]) -> list[tuple[float, int]]:
    ends = sorted((use.end, use.fence) for use in uses)
    highest = accumulate((fence for _, fence in ends), max)
    return [(end, fence) for (end, _), fence in zip(ends, highest, strict=True)]


def _highest_before(moment: float, highest: list[tuple[float, int]]) -> int:
    position = bisect_left(highest, (moment, 0))
    return highest[position - 1][1] if position else 0


def _not_what_was_asked(events: Iterable[Event]) -> Iterator[str]:
    asked = {event["ask"]: event for event in events if event["e"] == "ask"}
    for event in events:
        if event["e"] == "start":
            want = asked[event["ask"]].get("gpus") or 1
            if len(set(event["devices"])) != want:
                yield f"{want} devices were asked for, and these came: {event['devices']}"
            if len({name.partition("/")[0] for name in event["devices"]}) != 1:
                yield f"devices of more than one host came: {event['devices']}"
