"""A Job in a queue: how it stands, whatever order things are seen in."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gpu.job_life import (
    JobClock,
    JobDecision,
    JobVerdict,
    failure_of,
    index_of,
    is_over,
)

FACES = ("queued", "made", "unbound", "running", "done")


def seen(face: str, workers: int = 2) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a Job and its pods as they look at a moment of their life."""
    job: dict[str, Any] = {"spec": {"suspend": face == "queued"}, "status": {}}
    if face == "done":
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    if face in {"queued", "made"}:
        return job, []
    phase = {"unbound": "Pending", "running": "Running", "done": "Succeeded"}[face]
    names = [f"p{number}" for number in range(workers)]
    return job, [
        {"metadata": {"name": n, "uid": n}, "spec": {}, "status": {"phase": phase}} for n in names
    ]


def clock() -> JobClock:
    return JobClock(workers=2, schedule_timeout=10, startup_timeout=20)


def verdicts(of: JobClock, *steps: tuple[str, float]) -> list[str]:
    return [of.decide(*seen(face), now).verdict.value for face, now in steps]


def test_time_in_the_queue_counts_for_nothing_and_each_limit_has_its_own() -> None:
    waits = [("queued", 0.0), ("queued", 9999.0)]
    assert verdicts(clock(), *waits, ("made", 9999.0), ("running", 10018.0), ("done", 99999.0)) == [
        "queued", "queued", "starting", "running", "ended"
    ]  # fmt: skip
    never_made = [("made", 9999.0), ("made", 10018.0), ("made", 10019.0)]
    assert verdicts(clock(), *waits, *never_made)[2:] == ["starting", "starting", "failed"]
    no_room = [("unbound", 9999.0), ("unbound", 10008.0), ("unbound", 10009.0)]
    assert verdicts(clock(), *waits, *no_room)[2:] == ["starting", "starting", "failed"]


def test_what_was_taken_away_begins_anew_and_says_how_long_it_ran() -> None:
    of = clock()
    assert verdicts(of, ("running", 0.0), ("running", 30.0)) == ["running", "running"]
    taken = of.decide(*seen("queued"), 31.0)
    assert taken == JobDecision(
        verdict=JobVerdict.PREEMPTED, why="its share was taken away", ran=31.0
    )
    assert verdicts(of, ("queued", 99.0), ("made", 100.0), ("made", 119.0), ("made", 120.0)) == [
        "queued", "starting", "starting", "failed"
    ]  # fmt: skip


def test_a_suspension_between_two_looks_is_seen_by_what_it_left() -> None:
    of, (job, pods) = clock(), seen("running")
    stamps = [None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:09:00Z"]
    found = []
    for number, stamp in enumerate(stamps):
        job["status"] = {"startTime": stamp} if stamp else {}
        found.append(of.decide(job, pods, float(number)).verdict.value)
    found.append(of.decide(job, pods, 9.0).verdict.value)
    assert found == ["running", "running", "running", "preempted", "running"]


@given(st.lists(st.tuples(st.sampled_from(FACES), st.floats(0, 3)), max_size=20))
def test_it_is_preempted_as_often_as_it_goes_back_into_the_queue(
    steps: list[tuple[str, float]],
) -> None:
    of, now, was_admitted = clock(), 0.0, False
    for face, pause in steps:
        now += pause / 10  # no limit is reached
        found = of.decide(*seen(face), now)
        assert (found.verdict is JobVerdict.PREEMPTED) is (face == "queued" and was_admitted)
        assert (found.verdict is JobVerdict.ENDED) is (face == "done")
        if face != "done":
            was_admitted = face != "queued"


def test_what_ended_says_how() -> None:
    failed = {"status": {"conditions": [
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    ]}}  # fmt: skip
    assert (is_over(failed), failure_of(failed)) == (True, "BackoffLimitExceeded")
    assert (is_over(seen("done")[0]), failure_of(seen("done")[0])) == (True, "")
    assert (is_over(seen("made")[0]), is_over(None)) == (False, True)
    assert clock().decide(None, [], 0.0).why == "it was deleted"
    annotated = {"annotations": {"batch.kubernetes.io/job-completion-index": "3"}}
    assert index_of({"metadata": annotated}) == 3
