"""What tasks are refused, all of it: the modules that each hold a part."""

from __future__ import annotations

from tests.edge import (
    refused_answers,
    refused_by_server,
    refused_callers,
    refused_candidates,
    refused_copies,
    refused_decisions,
    refused_moves,
)
from tests.edge.refusal_cases import CASES, MOVE, Case

__all__ = ["CASES", "MOVE", "PARTS", "Case"]

PARTS = (
    refused_answers,
    refused_by_server,
    refused_callers,
    refused_candidates,
    refused_copies,
    refused_decisions,
    refused_moves,
)
