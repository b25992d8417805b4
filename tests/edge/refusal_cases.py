"""What tasks are refused: one case each, with the place in the code that refuses.

A case sets its scene and returns what is then done, which must be refused; ``moves`` says that an
alias was moved all the same, by the task or by the hand that the case is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.edge.guarded_scene import Act, Scene

HTTP = "adapters/mlflow_http.py"
FOR_GOOD = "operators/_moves.py:for_good#1"
MOVE = ("POST", "registered-models/alias")


@dataclass(frozen=True)
class Case:
    """One refusal: ``sites`` are where the code refuses, ``says`` matches what is said."""

    set_scene: Callable[[Scene], Act]
    sites: tuple[str, ...]
    says: str
    moves: bool

    @property
    def name(self) -> str:
        return self.set_scene.__name__


CASES: list[Case] = []


def refusal(*sites: str, says: str, moves: bool = False) -> Callable[[Any], Any]:
    """Make a case of the function."""

    def keep(set_scene: Callable[[Scene], Act]) -> Callable[[Scene], Act]:
        CASES.append(Case(set_scene, sites, says, moves))
        return set_scene

    return keep


def changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """Return what changes an answer in JSON."""

    def altered(answer: bytes) -> bytes:
        document = json.loads(answer)
        change(document)
        return json.dumps(document).encode()

    return altered


def pending(answer: bytes) -> bytes:
    return answer.replace(b'"READY"', b'"PENDING_REGISTRATION"')
