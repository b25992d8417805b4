"""Live metrics of a model: what it predicted against what became of it.

Intervals resample whole groups, days above all: what delays one flight delays others of the same
day, and intervals from resampled rows come out several times too narrow. numpy is imported when a
figure is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CONFIDENCE = 0.95
REPLICATES = 1000
_DRAWN_AT_ONCE = 5_000_000  # bounds the memory when there are many groups
SERIES = ("coverage", "observed", "predicted", "gap", "roc_auc", "log_loss", "brier")
_SMALLEST = 1e-15  # keeps the log loss of a certain and wrong prediction finite


@dataclass(frozen=True, kw_only=True)
class SliceMetrics:
    """The figures of one slice (``carrier=UA``)."""

    slice: str
    n: int
    observed: float
    predicted: float
    gap: float


@dataclass(frozen=True, kw_only=True)
class VersionMetrics:
    """The figures of one model version in one partition.

    ``n`` of ``predictions`` have an outcome: ``coverage``. ``observed`` is the rate of the label,
    ``predicted`` the mean score, ``gap`` their difference with its 95 % interval. ``mos`` is the
    mean of ``answers`` opinions of people (1 to 5) with its 95 % interval, ``agreement`` how far
    people agree (Krippendorff's alpha), ``exceptions`` how many predictions people had to look at.
    What cannot be measured (no outcome, one class, one group) is None.
    """

    version: str
    predictions: int
    n: int
    coverage: float
    observed: float | None = None
    predicted: float | None = None
    gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    roc_auc: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    answers: int = 0
    mos: float | None = None
    mos_low: float | None = None
    mos_high: float | None = None
    agreement: float | None = None
    exceptions: int = 0
    exception_rate: float | None = None
    slices: tuple[SliceMetrics, ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in JSON's own types, to six places: more is noise of summation."""
        figures = asdict(self)
        figures["slices"] = [_rounded(asdict(found)) for found in self.slices]
        return _rounded(figures)

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the figures as points of a series: one per slice and metric."""
        whole = {"model_version": self.version, "slice": "", "n": self.n, "low": None, "high": None}
        for name in SERIES:
            point = {**whole, "metric": name, "value": getattr(self, name)}
            yield {**point, "low": self.gap_low, "high": self.gap_high} if name == "gap" else point
        for cut in self.slices:
            part = {**whole, "slice": cut.slice, "n": cut.n}
            for name in ("observed", "predicted", "gap"):
                yield {**part, "metric": name, "value": getattr(cut, name)}

    def opinions(self) -> Iterator[dict[str, Any]]:
        """Yield what people say as points of the series."""
        whole = {"model_version": self.version, "slice": "", "low": None, "high": None}
        yield {
            **whole,
            "metric": "mos",
            "value": self.mos,
            "n": self.answers,
            "low": self.mos_low,
            "high": self.mos_high,
        }
        yield {**whole, "metric": "agreement", "value": self.agreement, "n": self.answers}
        rate = {"value": self.exception_rate, "n": self.predictions}
        yield {**whole, "metric": "exception_rate", **rate}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {n: round(v, 6) if isinstance(v, float) else v for n, v in figures.items()}


def measure(
    version: str,
    labels: Sequence[float],
    scores: Sequence[float],
    *,
    predictions: int,
    groups: Sequence[Any] | None = None,
    slices: Sequence[SliceMetrics] = (),
    seed: int = 0,
) -> VersionMetrics:
    """Return the figures of ``version``: ``labels`` (0 or 1) against ``scores``, row by row.

    ``groups`` names each row's group for the interval; without it there is none.
    """
    n = len(labels)
    coverage = n / predictions if predictions else 0.0
    if n == 0:
        return VersionMetrics(version=version, predictions=predictions, n=0, coverage=coverage)
    import numpy as np

    label, score = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    low, high = (None, None) if groups is None else gap_interval(label, score, groups, seed=seed)
    return VersionMetrics(
        version=version,
        predictions=predictions,
        n=n,
        coverage=coverage,
        observed=float(label.mean()),
        predicted=float(score.mean()),
        gap=float(label.mean() - score.mean()),
        gap_low=low,
        gap_high=high,
        roc_auc=roc_auc(label, score),
        log_loss=log_loss(label, score),
        brier=float(np.mean((score - label) ** 2)),
        slices=tuple(slices),
    )


def gap_interval(
    labels: Any, scores: Any, groups: Any, *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of observed minus predicted, resampling whole groups.

    (None, None) when there are fewer than two groups: nothing then tells how they differ.
    """
    import numpy as np

    _, place = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    sizes = np.bincount(place).astype(float)
    if len(sizes) < 2:
        return None, None
    sums = np.bincount(place, weights=np.asarray(labels, float) - np.asarray(scores, float))
    generator, even = np.random.default_rng(seed), np.full(len(sizes), 1 / len(sizes))
    block = max(1, _DRAWN_AT_ONCE // len(sizes))
    gaps = np.concatenate(
        [
            (draws @ sums) / (draws @ sizes)
            for start in range(0, replicates, block)
            for draws in [
                generator.multinomial(len(sizes), even, size=min(block, replicates - start))
            ]
        ]
    )
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(gaps, [tail, 100 - tail])
    return float(low), float(high)


def roc_auc(labels: Any, scores: Any) -> float | None:
    """Return the area under the ROC curve, ties counted half; None with one class only."""
    import numpy as np

    positive = np.asarray(labels, dtype=float) > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    _, place, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    total = float(ranks[place][positive].sum())
    return (total - ones * (ones + 1) / 2) / (ones * zeros)


def log_loss(labels: Any, scores: Any) -> float:
    """Return the mean negative log likelihood."""
    import numpy as np

    label = np.asarray(labels, dtype=float)
    score = np.clip(np.asarray(scores, dtype=float), _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(label * np.log(score) + (1 - label) * np.log1p(-score)))
