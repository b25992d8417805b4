"""How a project is governed: compliance and ethics, iterations, and what was learnt.

The topics are the seven requirements of the European Commission's High-Level Expert Group (*The
Assessment List for Trustworthy AI*, 2020).
"""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field

from airflow_ai_provider.core.lifecycle.plan_parts import Line, Name, Part, Phase, Role, Text

COMPLIANCE_TOPICS = {
    "human_oversight": "Who can overrule it, and how do they notice that they must?",
    "robustness": "What happens when it is wrong, attacked or not there?",
    "privacy": "Which personal data does it use, by which right, and for how long?",
    "transparency": "Who is told that a machine answers, and can an answer be explained?",
    "fairness": "Whom may it treat worse than others, and how is that measured?",
    "wellbeing": "What does it do to people's work, to society and to the environment?",
    "accountability": "Who answers for it, and where do people complain?",
}
ComplianceTopic = Literal[
    "human_oversight",
    "robustness",
    "privacy",
    "transparency",
    "fairness",
    "wellbeing",
    "accountability",
]


class ComplianceAnswer(Part):
    """An answer on compliance or ethics: what was found, who answers for it, since when."""

    answer: Text = Field(description="what was found, and what follows from it")
    owner: Role = Field(description="the role that answers for it")
    date: datetime.date = Field(description="the day of the answer, such as 2026-03-31")


class Iteration(Part):
    """An iteration (a sprint): when, and what for."""

    name: Name = Field(description="a short name such as sprint_1")
    phase: Phase = Field(description="the phase that it belongs to")
    start: datetime.date = Field(description="its first day")
    end: datetime.date = Field(description="its last day")
    goal: Line = Field(description="what it is to reach")
    milestones: tuple[Name, ...] = Field(default=(), description="the milestones it works on")
    result: Line | None = Field(default=None, description="what it did reach")


class Retrospective(Part):
    """What was learnt in a phase."""

    date: datetime.date = Field(description="the day on which it was held")
    went_well: Text = Field(description="what is kept")
    went_badly: Text = Field(description="what is not done again")
    changes: Text = Field(description="what is done differently from now on, and by whom")
