"""What a model in use is like: outcomes, people's opinions, their agreement, exceptions, pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_ai_provider.adapters import prediction_pairs
from airflow_ai_provider.core.feedback.agreement import Agreement, agreement
from airflow_ai_provider.core.feedback.comparison import Pair
from airflow_ai_provider.core.feedback.metrics import VersionMetrics
from airflow_ai_provider.core.feedback.record import SAID_BY
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.exception_figures import exceptions_of


@dataclass(frozen=True, kw_only=True)
class LiveMetrics:
    """The figures of every version of a model in one partition, and of each two on the same rows.

    The later version of a pair is compared with the earlier one: above 0 it is worse.
    """

    model_name: str
    partition: str
    versions: tuple[VersionMetrics, ...]
    pairs: tuple[Pair, ...]
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in JSON's own types."""
        return {
            "model_name": self.model_name,
            "partition": self.partition,
            "versions": [version.to_dict() for version in self.versions],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "agreement": asdict(self.agreement),
        }


def measure_live(
    service: FeedbackService,
    *,
    model_name: str,
    predictions: str,
    partition: str,
    group: str | None = "day",
    slices: Sequence[str] = (),
) -> LiveMetrics:
    """Measure all that feedback tells of a model in a partition, and add it to the series.

    :raises FeedbackSourceError: the prediction log cannot be read or lacks a column.
    """
    versions = service.metrics(
        model_name=model_name,
        predictions=predictions,
        partition=partition,
        group=group,
        slices=slices,
    )
    records = service.records_of(model_name)
    opinions = records.opinions(model_name, partition=partition)
    exceptions = exceptions_of(service.store, model_name, partition)
    agreed = agreement_of(service, model_name, partition)
    found = tuple(
        _with_people(version, opinions.get(version.version), exceptions, agreed)
        for version in versions
    )
    key = {"model_name": model_name, "partition": partition}
    service.series.write([{**key, **point} for version in found for point in version.opinions()])
    compared = prediction_pairs.pairs(
        predictions,
        records.outcomes(model_name),
        model_name=model_name,
        partition=partition,
        group=group,
    )
    return LiveMetrics(
        model_name=model_name,
        partition=partition,
        versions=found,
        pairs=tuple(compared),
        agreement=agreed,
    )


def agreement_of(
    service: FeedbackService, model_name: str, partition: str | None = None
) -> Agreement:
    """Return how far people agree on the same predictions: on labels, else on scores."""
    labels: list[tuple[Any, str, Any]] = []
    scores: list[tuple[Any, str, Any]] = []
    records = service.records_of(model_name)
    for rows in records.opinions_by_person(model_name, partition=partition):
        for row in rows:
            unit = (row.prediction_id, row.model_version)
            person = _person(row.attributes, row.source)
            if row.label is not None:
                labels.append((row.prediction_id, person, row.label))
            if row.score is not None:
                scores.append((unit, person, row.score))
    on_labels = agreement(labels, measure="nominal")
    return on_labels if on_labels.units or not scores else agreement(scores, measure="ordinal")


def _person(attributes: str | None, source: str | None) -> str:
    found: Mapping[str, Any] = json.loads(attributes) if attributes else {}
    for name in SAID_BY:
        if found.get(name) is not None:
            return str(found[name])
    return source or ""


def _with_people(
    version: VersionMetrics,
    said: Opinions | None,
    exceptions: Mapping[str | None, int],
    agreed: Agreement,
) -> VersionMetrics:
    number = exceptions.get(version.version, 0)
    measured = replace(
        version,
        exceptions=number,
        exception_rate=number / version.predictions if version.predictions else None,
        agreement=agreed.alpha,
    )
    if said is None or not said.answers:
        return measured
    bounded = said.answers > 1
    return replace(
        measured,
        answers=said.answers,
        mos=said.mean,
        mos_low=max(1.0, said.mean - said.margin) if bounded else None,
        mos_high=min(5.0, said.mean + said.margin) if bounded else None,
    )
