"""The checker of fault runs finds what it is there to find."""

from __future__ import annotations

from typing import Any

from tests.faults.checker import Event, faults_in, parse, unanswered

CAPACITY = {"a/0": 8192, "a/1": 8192}


def lease(
    name: str,
    start: float,
    end: float | None,
    *,
    fence: int,
    devices: tuple[str, ...] = ("a/0",),
    share: int | None = None,
    asked: float | None = None,
    gpus: int | None = None,
    who: str = "1:1",
) -> list[Event]:
    """What a holder logs of one lease; one that was killed logs no end."""
    ask = {"ask": name, "gpus": gpus or len(devices), "share": share}
    begun = {"ask": name, "lease": name, "fence": fence, "devices": list(devices)}
    events: list[dict[str, Any]] = [
        {"e": "ask", "t": start if asked is None else asked, "who": who, **ask},
        {"e": "start", "t": start, "who": who, **begun},
    ]
    if end is not None:
        events.append({"e": "end", "t": end, "who": who, "lease": name})
    return list(events)


def seen(who: str, at: float) -> Event:
    return {"e": "seen", "t": at, "who": who}


def child(name: str, who: str) -> Event:
    return {"e": "child", "t": 1.0, "who": "1:1", "lease": name, "child": who}


def sentences(*parts: list[Event]) -> str:
    return "; ".join(faults_in([event for part in parts for event in part], CAPACITY))


def test_nothing_is_wrong_with_leases_one_after_the_other() -> None:
    assert sentences(lease("x", 1, 2, fence=1), lease("y", 2, 3, fence=2)) == ""


def test_two_leases_of_a_whole_device_that_overlap_are_found() -> None:
    assert "a/0 was used beyond" in sentences(lease("x", 1, 3, fence=1), lease("y", 2, 4, fence=2))


def test_a_killed_holder_uses_its_device_until_it_was_last_seen() -> None:
    killed, later = lease("x", 1, None, fence=1, who="7:7"), lease("y", 2, 3, fence=2)
    assert sentences(killed, [seen("7:7", 1.5)], later) == ""
    assert "beyond its capacity" in sentences(killed, [seen("7:7", 2.5)], later)


def test_a_child_uses_its_lease_s_device_after_the_end() -> None:
    ended, later = lease("x", 1, 2, fence=1), lease("y", 3, 4, fence=2)
    assert sentences(ended, [child("x", "9:9"), seen("9:9", 2.9)], later) == ""
    assert "beyond" in sentences(ended, [child("x", "9:9"), seen("9:9", 3.1)], later)


def test_shares_add_up_to_the_capacity_and_no_further() -> None:
    two = lease("x", 1, 4, fence=1, share=5120), lease("y", 2, 4, fence=2, share=3072)
    assert sentences(*two) == ""
    assert "beyond" in sentences(*two, lease("z", 3, 4, fence=3, share=1))
    assert "beyond" in sentences(*two, lease("z", 3, 4, fence=3))


def test_a_fence_that_does_not_rise_is_found() -> None:
    assert "came after 5" in sentences(lease("x", 1, 2, fence=5), lease("y", 3, 4, fence=4))
    assert "came after 5" in sentences(lease("x", 1, 2, fence=5), lease("y", 3, 4, fence=5))
    assert "same fence 5" in sentences(
        lease("x", 1, 4, fence=5, share=1), lease("y", 2, 4, fence=5, share=1)
    )


def test_shares_side_by_side_may_begin_in_either_order() -> None:
    first, second = {"share": 1, "fence": 1}, {"share": 1, "fence": 2}
    assert sentences(lease("y", 1, 2, **second), lease("x", 3, 4, asked=0.5, **first)) == ""
    assert "came after 2" in sentences(
        lease("y", 1, 2, **second), lease("x", 3, 4, asked=2.5, **first)
    )


def test_what_nobody_asked_for_is_found() -> None:
    assert "2 devices were asked for" in sentences(lease("x", 1, 2, fence=1, gpus=2))
    assert "b/7 is no device" in sentences(lease("x", 1, 2, fence=1, devices=("b/7",)))
    both = lease("x", 1, 2, fence=1, devices=("a/0", "b/0"))
    assert "more than one host" in sentences(both)


def test_what_the_holders_themselves_met_is_found() -> None:
    for event in ("clash", "crash", "loss"):
        assert sentences([{"e": event, "t": 1.0, "who": "1:1", "device": "a/0"}])


def test_an_ask_without_an_answer_or_with_one_that_gives_no_reason_is_found() -> None:
    events = lease("x", 1, 2, fence=1)
    asked = {"e": "ask", "t": 1.0, "who": "1:1", "ask": "y", "gpus": 1, "share": None}
    told = {"e": "answer", "t": 2.0, "who": "1:1", "ask": "y", "error": "X"}
    assert unanswered(events) == set()
    assert unanswered([*events, asked]) == {"y"}
    assert unanswered([*events, asked, {**told, "reason": ""}]) == {"y"}
    assert unanswered([*events, asked, {**told, "reason": "devices_busy"}]) == set()


def test_a_torn_line_is_passed_over() -> None:
    assert parse(b'\n{"e": "ask"}\n{"e": "sta\n{"e": "end"}') == [{"e": "ask"}, {"e": "end"}]
