"""A store with something on every page, hostile words among it."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.testing import fake_devices
from tests.browser.words import BACKWARDS, HOSTILE
from tests.services.promotion_world import World


def fill(store: Store) -> None:
    """Put a project, models, live quality, a held device and a queue into ``store``."""
    plan: dict[str, Any] = {
        "business_need": f"Fewer complaints {HOSTILE}",
        "expected_value": "less rework",
        "objectives": ["one"],
        "people": {"sponsor": {"user": "sponsor"}, "data_scientist": {"user": "ml"}},
        "kpis": [{"name": "score", "kind": "human", "target": f"at least 4 {HOSTILE}"}],
        "data_sources": [{"name": "reviews"}],
        "use_cases": [{"name": "m", "title": f"Reviews {HOSTILE}", "pilot": True}],
        "milestones": [
            {
                "name": name,
                "phase": phase,
                "owner": "sponsor",
                "after": after,
                "estimate": {"best": 2, "likely": 5, "worst": 12},
                "deliverables": [],
            }
            for name, phase, after in (
                ("find", "discovery", []),
                ("build", "pilot", ["find"]),
                ("check", "pilot", ["find"]),
                ("release", "production", ["build", "check"]),
            )
        ],
        "budget": {"pilot": {"people_days": 10, "gpu_hours": 20}},
        "risks": [
            {"name": "drift", "likelihood": 2, "impact": 3, "owner": "sponsor",
             "mitigation": HOSTILE, "trigger": {"kpi": "score", "below": 4.9}},
        ],
    }  # fmt: skip
    Projects(store).note(
        name="reviews",
        title=f"Reviews {HOSTILE}",
        owner="ml",
        path="p.yaml",
        digest="d",
        plan=plan,
        text="",
    )
    world = World(store)
    world.walk("1")
    world.walk("2", until="staging")
    world.roll_back("staging", reason=HOSTILE)
    MetricSeries(store).write(
        [
            {"model_name": "m", "model_version": version, "partition": f"2026-{month:02}",
             "slice": "", "metric": metric, "value": 3 + month / 10, "low": 3.0, "high": 4.5,
             "n": 9}
            for metric in ("score", "coverage")
            for version, months in (("1", range(1, 6)), ("2", range(4, 8)))
            for month in months
        ]
    )  # fmt: skip
    gpu = GpuStore(store, Host(name="box", boot_id="b"))
    for number, holder in enumerate(("train", HOSTILE, "wait")):
        gpu.ask(
            Ticket(holder=holder, request=GpuRequest(gpus=1), host="box"),
            process=Process(pid=number + 1, start=1, uid=0),
            devices=fake_devices(2, host="box"),
        )
    queue = ExceptionQueue(store)
    queue.add(cases(5), Asking(labels={"late": 1, HOSTILE: 0}, people=2, max_age=86_400.0))
    queue.claim("op", limit=2)


def cases(number: int, *, model: str = "m") -> list[Finding]:
    """Return predictions to look at, whose names and facts are hostile."""
    return [
        Finding(
            model_name=model,
            model_version="7",
            prediction_id=f"p{n} {HOSTILE}",
            reason=Reason.DISPUTED,
            urgency=1 - n / 100,
            facts={"comment": HOSTILE, HOSTILE: BACKWARDS, "long": "x" * 3000, "said": [0, 1]},
        )
        for n in range(1, number + 1)
    ]
