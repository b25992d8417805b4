"""What a model gate looks at, and what it finds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.core.promotion.evidence import ModelEvidence, Predictions
from airflow_ai_provider.core.promotion.life import Life
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the criteria look at.

    ``gates`` are the gate records that the evidence names; ``retrained`` are the rows of a model
    that was trained again with the same inputs; ``life`` answers what the store knows;
    ``project`` is whose live models count.
    """

    evidence: ModelEvidence
    predictions: Predictions | None
    gates: Mapping[str, GateRecord] = field(default_factory=dict)
    retrained: Predictions | None = None
    life: Life | None = None
    project: str | None = None

    @property
    def rows(self) -> Predictions:
        """The held-out rows.

        :raises NotMeasurableError: the evidence names none.
        """
        if self.predictions is None:
            raise NotMeasurableError("the evidence names no predictions")
        return self.predictions

    @property
    def reference_name(self) -> str:
        """What the candidate is compared with, for a sentence."""
        kind = self.evidence.reference_kind or "reference"
        version = self.evidence.reference_version
        return f"the {kind} (version {version})" if version else f"the {kind}"

    @property
    def lived(self) -> tuple[Life, str]:
        """What the store knows, and the version to ask it about.

        :raises NotMeasurableError: there is no store to ask, or no version yet.
        """
        if self.life is None:
            raise NotMeasurableError("no store was given to ask")
        if self.evidence.version is None:
            raise NotMeasurableError("the candidate has no version in the registry yet")
        return self.life, self.evidence.version


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one criterion found."""

    observed: Any
    met: bool
    sentence: str
