"""The people of the demo: they answer forms and approvals over the API, the way the UI would."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.form import choose, fill
from airflow_ai_provider.demo.rest import AirflowRest

ANSWERING = ("ml", "sponsor")
_PARKED = {"awaiting_input", "deferred"}
# A task that is resumed sooner than a worker's heartbeat and a second after it parked is failed by
# Airflow's scheduler, which takes the late word of the first half for the end of the second.
_THINKING = 2.5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one of the demo's people answered, and where."""

    user: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    options: list[str]
    values: Mapping[str, Any]


class People:
    """Everybody who answers; the viewer never does."""

    def __init__(
        self, clients: Mapping[str, AirflowRest], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clients = {user: clients[user] for user in ANSWERING}
        self._clock = clock
        self._seen_parked: dict[str, float] = {}
        self._answered: set[str] = set()
        self.answers: list[Answer] = []

    def answer_what_waits(self) -> list[Answer]:
        """Answer each task that has waited long enough, and return the answers given now."""
        given = []
        for detail in self._clients[ANSWERING[0]].pending():
            task = detail["task_instance"]
            if task["state"] not in _PARKED or task["id"] in self._answered:
                continue
            since = self._seen_parked.setdefault(task["id"], self._clock())
            if self._clock() - since >= _THINKING and (answer := self._answer(detail)):
                given.append(answer)
        self.answers += given
        return given

    def _answer(self, detail: Mapping[str, Any]) -> Answer | None:
        task = detail["task_instance"]
        user = _who(detail)
        options = choose(list(detail["options"]), detail.get("defaults"))
        values = fill(detail.get("params") or {})
        self._answered.add(task["id"])
        if not self._clients[user].answer(task, options, values):
            return None  # somebody was faster, in the UI
        return Answer(
            user=user,
            dag_id=task["dag_id"],
            run_id=task["dag_run_id"],
            task_id=task["task_id"],
            map_index=task["map_index"],
            options=options,
            values=values,
        )


def _who(detail: Mapping[str, Any]) -> str:
    assigned = [str(user["id"]) for user in detail.get("assigned_users") or []]
    if not assigned:
        return ANSWERING[0]
    for user in assigned:
        if user in ANSWERING:
            return user
    task = detail["task_instance"]
    raise DemoError(
        f"{task['dag_id']}.{task['task_id']} waits for {', '.join(assigned)}: nobody in the demo.",
        remedy=f"Assign it to one of {', '.join(ANSWERING)}.",
    )
