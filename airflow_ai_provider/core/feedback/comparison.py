"""Two versions beside each other on the same feedback, and whether to go back to the earlier one.

Only predictions that both made and that have an outcome are compared, row by row, so that neither
had the easier days; the interval resamples whole groups (days), as in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.causes import criterion
from airflow_ai_provider.core.feedback.metrics import gap_interval
from airflow_ai_provider.core.gate import Criterion, Verdict

LOSSES = ("log_loss", "brier")
_SMALLEST = 1e-15


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The losses of two versions on the ``n`` rows that both answered.

    ``difference`` is ``value`` (of ``version``) minus ``other_value`` (of ``other``), with its 95 %
    interval: above 0 the version is worse than the other.
    """

    version: str
    other: str
    metric: str
    n: int
    value: float
    other_value: float
    difference: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in JSON's own types, to six places."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class RollbackPolicy:
    """When the champion gives way to the version before it.

    :param metric: the loss that decides: ``log_loss`` or ``brier``.
    :param margin: how much worse the champion may be; its interval must lie wholly beyond it.
    :param min_feedback: rows that both must have answered and that have an outcome.
    :param ask: whether a person is asked before the rollback starts.
    """

    metric: str = "log_loss"
    margin: float = 0.0
    min_feedback: int = 100
    ask: bool = True

    @classmethod
    def from_dict(cls, found: Any) -> RollbackPolicy:
        """Return the policy that ``found`` says.

        :raises RetrainPolicyError: an unknown key, or a value of the wrong kind.
        """
        known = [entry.name for entry in fields(cls)]
        if not isinstance(found, Mapping) or any(name not in known for name in found):
            raise RetrainPolicyError(
                f"The rollback policy is {found!r}.",
                remedy=f"Write a mapping of {', '.join(known)}.",
            )
        policy = cls(**found)
        numbers = (policy.margin, policy.min_feedback)
        if (
            policy.metric not in LOSSES
            or not isinstance(policy.ask, bool)
            or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers)
            or not policy.margin >= 0
            or not policy.min_feedback >= 1
        ):
            raise RetrainPolicyError(
                f"The rollback policy {dict(found)!r} has a value of the wrong kind.",
                remedy=f"metric is one of {', '.join(LOSSES)}, margin a number from 0, "
                "min_feedback a number from 1, ask true or false.",
            )
        return policy


def compare(
    version: str, other: str, labels: Any, scores: Any, other_scores: Any, groups: Any
) -> list[Pair]:
    """Return the losses of two versions on the same rows; none without rows."""
    if not len(labels):
        return []
    found = []
    for metric in LOSSES:
        mine, its = row_losses(metric, labels, scores), row_losses(metric, labels, other_scores)
        low, high = (None, None) if groups is None else gap_interval(mine, its, groups)
        found.append(
            Pair(
                version=version,
                other=other,
                metric=metric,
                n=len(labels),
                value=float(mine.mean()),
                other_value=float(its.mean()),
                difference=float(mine.mean() - its.mean()),
                low=low,
                high=high,
            )
        )
    return found


def row_losses(metric: str, labels: Any, scores: Any) -> Any:
    """Return the loss of each row."""
    import numpy as np

    label, score = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    if metric == "brier":
        return (score - label) ** 2
    score = np.clip(score, _SMALLEST, 1 - _SMALLEST)
    return -(label * np.log(score) + (1 - label) * np.log1p(-score))


def find_pair(
    pairs: Sequence[Mapping[str, Any]], version: str, other: str, metric: str
) -> dict[str, Any] | None:
    """Return the comparison of ``version`` with ``other``, whichever way it was made."""
    for pair in pairs:
        if pair["metric"] != metric:
            continue
        if (pair["version"], pair["other"]) == (version, other):
            return dict(pair)
        if (pair["version"], pair["other"]) == (other, version):
            low, high = pair["low"], pair["high"]
            return {
                **pair,
                "version": version,
                "other": other,
                "value": pair["other_value"],
                "other_value": pair["value"],
                "difference": -pair["difference"],
                "low": None if high is None else -high,
                "high": None if low is None else -low,
            }
    return None


@dataclass(frozen=True, kw_only=True)
class RollbackDecision:
    """Whether to go back, every reason, and one sentence that sums them up."""

    roll_back: bool
    criteria: tuple[Criterion, ...]
    summary: str


def decide_rollback(
    policy: RollbackPolicy,
    *,
    champion: str | None,
    previous: str | None,
    pair: Mapping[str, Any] | None,
) -> RollbackDecision:
    """Decide whether the champion fell below the version before it on the same feedback."""
    criteria = [_there_is(champion, previous), _compared(policy, champion, previous, pair)]
    if champion and previous and pair and pair["low"] is not None:
        worse = pair["low"] > policy.margin
        sentence = (
            f"{policy.metric} of version {champion} is {pair['value']:.4g}, of version {previous} "
            f"{pair['other_value']:.4g} on the same {pair['n']:,} rows: a difference of "
            f"{pair['difference']:+.4f} [{pair['low']:+.4f}, {pair['high']:+.4f}], which "
            f"{'lies' if worse else 'does not lie'} wholly beyond {policy.margin:g}."
        )
        observed = {name: pair[name] for name in ("difference", "low", "high")}
        criteria.append(criterion("fell_below", policy.margin, observed, worse, sentence))
    roll_back = len(criteria) == 3 and all(c.verdict is Verdict.PASS for c in criteria)
    reasons = " ".join(c.sentence for c in criteria if roll_back or c.verdict is not Verdict.PASS)
    summary = f"{'Roll back' if roll_back else 'Do not roll back'}: {reasons}"
    return RollbackDecision(roll_back=roll_back, criteria=tuple(criteria), summary=summary)


def _there_is(champion: str | None, previous: str | None) -> Criterion:
    if champion is None or previous is None:
        what = "no champion" if champion is None else "no version before the champion"
        return criterion("previous", "there is one", None, False, f"There is {what}.")
    sentence = f"Before version {champion} there was version {previous}."
    return criterion("previous", "there is one", previous, True, sentence)


def _compared(
    policy: RollbackPolicy,
    champion: str | None,
    previous: str | None,
    pair: Mapping[str, Any] | None,
) -> Criterion:
    n = int(pair["n"]) if pair else 0
    if pair is not None and pair["low"] is None:
        sentence = "There are too few days for an interval of the difference."
        return criterion("compared", policy.min_feedback, n, False, sentence)
    sentence = (
        f"{n:,} predictions of both versions have an outcome; {policy.min_feedback:,} are needed."
    )
    return criterion("compared", policy.min_feedback, n, n >= policy.min_feedback, sentence)
