"""What was found about a project outside its file; None stands for not looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_ai_provider.core.lifecycle.code import CodeFound


@dataclass(frozen=True, kw_only=True)
class PilotResult:
    """What is known of one pilot: its gate in the ledger, the data, and what the registry keeps.

    ``bounds`` are those that the gate's improvement criteria observed: the end of the interval,
    by criterion. ``lacking`` is what the registered version lacks of its logistics.
    """

    model_name: str
    gate: str | None = None
    verdict: str | None = None
    version: str | None = None
    own_data: bool | None = None
    data: str | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)
    lacking: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found about a project outside its file; None stands for not looked at.

    ``coverage`` is, for each live model that scored, the newest share of predictions with feedback.
    """

    milestones_done: frozenset[str] | None = None
    models_in_repository: Sequence[str] | None = None
    code: CodeFound | None = None
    pilots: Mapping[str, PilotResult] = field(default_factory=dict)
    approved_by: str | None = None
    feedback: Mapping[str, int] | None = None
    live_models: Sequence[str] | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
