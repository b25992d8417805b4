"""The retrain policy: whether to retrain, with every reason and number.

Retraining needs a cause (the live calibration is off, or the champion's data is old) and every
condition (a champion, enough feedback, data newer than the champion's, no retraining too recent or
under way). A criterion passes when it speaks for retraining; what could not be measured does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.causes import (
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    QUALITY,
    GpuHours,
    drift,
    gpu_budget,
    new_feedback,
    quality,
)
from airflow_ai_provider.core.feedback.causes import criterion as _criterion
from airflow_ai_provider.core.feedback.comparison import RollbackPolicy
from airflow_ai_provider.core.gate import Criterion, Verdict

CAUSES = frozenset({"calibration_gap", "champion_age", "drift"})
_OPTIONAL = frozenset({"max_gap", "max_age_days", "max_drift", "gpu_hours"})
_FRACTIONS = frozenset({"max_gap", "max_drift", "gpu_hours"})
_MOST_GPU_DAYS = 28


@dataclass(frozen=True, kw_only=True)
class RetrainPolicy:
    """When to retrain; never while a retraining of the model is under way.

    Causes, of which one is needed (None or nothing: no cause):

    :param max_gap: the calibration gap (observed rate minus mean score) that is still well; its
        interval must lie wholly beyond it, on either side.
    :param max_age_days: days between the end of the champion's training data and the end of the
        window from which age is a cause.
    :param quality: limits of the champion's figures: ``roc_auc``, ``mos``, ``agreement``,
        ``coverage`` from which down, ``log_loss``, ``brier``, ``exception_rate`` from which up
        quality is a cause.
    :param max_drift: the share of columns that may have drifted.

    Conditions, all of which are needed:

    :param min_feedback: outcomes of the champion's predictions that the window must have.
    :param min_new_feedback: records that came in since the last retraining was decided.
    :param cooldown_days: days of data between the windows of two retrainings.
    :param gpu_hours: GPU hours of the project in ``gpu_days`` days that must not be used up; None
        is no budget.
    :param in_flight_hours: hours after which a retraining that was decided and never led to a
        judged candidate no longer counts as under way.

    :param rollback: when the champion gives way to the version before it (``RollbackPolicy``);
        None is never.
    """

    max_gap: float | None = 0.02
    max_age_days: int | None = 60
    quality: Mapping[str, float] = field(default_factory=dict)
    max_drift: float | None = None
    min_feedback: int = 1
    min_new_feedback: int = 0
    cooldown_days: int = 0
    gpu_hours: float | None = None
    gpu_days: int = 28
    in_flight_hours: int = 48
    rollback: RollbackPolicy | None = None

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> RetrainPolicy:
        """Return the policy that ``found`` (a dict, from YAML perhaps) says.

        :raises RetrainPolicyError: an unknown key, a value of the wrong kind, or no cause at all.
        """
        if not isinstance(found, Mapping):
            raise RetrainPolicyError(
                "A retrain policy is a mapping.", remedy="Write {max_gap: 0.02, max_age_days: 60}."
            )
        known = [entry.name for entry in fields(cls)]
        values = dict(found)
        for name, value in found.items():
            if name not in known:
                raise RetrainPolicyError(
                    f"A retrain policy has no {name!r}.", remedy=f"It has {', '.join(known)}."
                )
            if name == "quality":
                values[name] = _limits(value)
            elif name == "rollback":
                values[name] = None if value is None else RollbackPolicy.from_dict(value)
            else:
                _check_number(name, value)
        policy = cls(**values)
        if policy.gpu_days not in range(1, _MOST_GPU_DAYS + 1):
            raise RetrainPolicyError(
                f"gpu_days of the retrain policy is {policy.gpu_days}.",
                remedy=f"Write 1 to {_MOST_GPU_DAYS}: so long the history of leases is kept.",
            )
        if policy.max_gap is policy.max_age_days is policy.max_drift is None and not policy.quality:
            raise RetrainPolicyError(
                "The retrain policy names no cause to retrain.",
                remedy="Give max_gap, max_age_days, quality or max_drift.",
            )
        return policy


def _check_number(name: str, value: Any) -> None:
    if value is None and name in _OPTIONAL:
        return
    fraction = name in _FRACTIONS
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and (fraction or isinstance(value, int)) and value >= 0):
        raise RetrainPolicyError(
            f"{name} of the retrain policy is {value!r}.",
            remedy=f"Write a {'number' if fraction else 'whole number'} from 0.",
        )


def _limits(found: Any) -> dict[str, float]:
    known = sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER)
    if found is None:
        return {}
    if not isinstance(found, Mapping) or any(
        name not in known
        or isinstance(limit, bool)
        or not isinstance(limit, (int, float))
        or not math.isfinite(limit)
        for name, limit in found.items()
    ):
        raise RetrainPolicyError(
            f"quality of the retrain policy is {found!r}.",
            remedy=f"Write {{roc_auc: 0.7}}; there are {', '.join(known)}.",
        )
    return dict(found)


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The version in production, and the last day of its training data."""

    version: str
    trained_through: date | None


@dataclass(frozen=True, kw_only=True)
class RetrainDecision:
    """Whether to retrain, every reason, and one sentence that sums them up."""

    retrain: bool
    criteria: tuple[Criterion, ...]
    summary: str


def decide(
    policy: RetrainPolicy,
    *,
    champion: Champion | None,
    metrics: Mapping[str, Any] | None,
    window_end: date,
    newest_data: date | None,
    last_retrain: date | None = None,
    in_flight: bool = False,
    drifted: float | None = None,
    came_in: int | None = None,
    gpu: GpuHours | None = None,
) -> RetrainDecision:
    """Decide on retraining when the outcomes of the window that ends on ``window_end`` are in.

    ``metrics`` are the champion's figures in the window (``n``, ``gap``, ``gap_low``,
    ``gap_high``, those that ``quality`` names), ``newest_data`` is the last day of gated data older
    than the window, ``last_retrain`` the end of the window of the retraining before this, since
    which ``came_in`` records came in; ``drifted`` is the share of columns that drifted.
    """
    criteria = [_champion(champion)]
    if policy.max_gap is not None:
        criteria.append(_gap(policy.max_gap, champion, metrics))
    if policy.max_age_days is not None:
        criteria.append(_age(policy.max_age_days, champion, window_end))
    figures = metrics if champion else None
    criteria += [quality(name, limit, figures) for name, limit in policy.quality.items()]
    if policy.max_drift is not None:
        criteria.append(drift(policy.max_drift, drifted))
    criteria.append(_enough(policy.min_feedback, metrics))
    if policy.min_new_feedback:
        criteria.append(new_feedback(policy.min_new_feedback, came_in))
    criteria.append(_newer(champion, newest_data))
    criteria.append(_cooldown(policy.cooldown_days, window_end, last_retrain))
    if policy.gpu_hours is not None:
        criteria.append(gpu_budget(policy.gpu_hours, gpu))
    criteria.append(_in_flight(in_flight))
    causes = [c for c in criteria if _is_cause(c) and c.verdict is Verdict.PASS]
    against = [c for c in criteria if not _is_cause(c) and c.verdict is not Verdict.PASS]
    retrain = bool(causes) and not against
    return RetrainDecision(
        retrain=retrain, criteria=tuple(criteria), summary=_summary(criteria, causes, against)
    )


def _is_cause(criterion: Criterion) -> bool:
    return criterion.name in CAUSES or criterion.name.startswith(QUALITY)


def _champion(champion: Champion | None) -> Criterion:
    if champion is None:
        sentence = "There is no champion yet: the first comes from a pilot, not from retraining."
        return _criterion("champion", "there is one", None, False, sentence)
    sentence = f"Version {champion.version} is the one that predicts."
    return _criterion("champion", "there is one", champion.version, True, sentence)


def _gap(limit: float, champion: Champion | None, metrics: Mapping[str, Any] | None) -> Criterion:
    gap, low, high = (metrics or {}).get("gap"), None, None
    if metrics:
        low, high = metrics.get("gap_low"), metrics.get("gap_high")
    if champion is None or gap is None or low is None or high is None:
        sentence = "The calibration gap could not be measured."
        return _criterion("calibration_gap", limit, gap, False, sentence)
    beyond = low > limit or high < -limit
    sentence = (
        f"The calibration gap {gap:+.3f} [{low:+.3f}, {high:+.3f}] "
        f"{'lies' if beyond else 'does not lie'} wholly beyond ±{limit:g}."
    )
    observed = {"gap": gap, "low": low, "high": high}
    return _criterion("calibration_gap", limit, observed, beyond, sentence)


def _age(limit: int, champion: Champion | None, window_end: date) -> Criterion:
    if champion is None or champion.trained_through is None:
        sentence = "The age of the champion's training data is unknown."
        return _criterion("champion_age", limit, None, False, sentence)
    days = (window_end - champion.trained_through).days
    sentence = (
        f"The champion's training data ended on {champion.trained_through}, {days} days before "
        f"{window_end}: {'at least' if days >= limit else 'less than'} {limit}."
    )
    return _criterion("champion_age", limit, days, days >= limit, sentence)


def _enough(limit: int, metrics: Mapping[str, Any] | None) -> Criterion:
    n = metrics.get("n") if metrics else None
    if n is None:
        sentence = "There are no figures of the champion in this window."
        return _criterion("enough_feedback", limit, None, False, sentence)
    sentence = f"{n} of the champion's predictions have an outcome; {limit} are needed."
    return _criterion("enough_feedback", limit, n, n >= limit, sentence)


def _newer(champion: Champion | None, newest: date | None) -> Criterion:
    through = champion.trained_through if champion else None
    if newest is None or through is None:
        unknown = "gated data before the window" if newest is None else "a champion's training data"
        return _criterion("newer_data", through, newest, False, f"No {unknown} is known.")
    if newest > through:
        sentence = f"Gated data up to {newest} is newer than the champion's, up to {through}."
    else:
        sentence = (
            f"There is no gated data newer than the champion's, which ends on {through}, "
            "and older than the window: a challenger would learn nothing new."
        )
    return _criterion("newer_data", through, newest, newest > through, sentence)


def _cooldown(limit: int, window_end: date, last: date | None) -> Criterion:
    if last is None:
        return _criterion("cooldown", limit, None, True, "No retraining was decided before.")
    days = (window_end - last).days
    sentence = f"The last retraining was decided on the data of {days} days before; {limit} apart."
    return _criterion("cooldown", limit, days, days >= limit, sentence)


def _in_flight(in_flight: bool) -> Criterion:
    sentence = "A retraining is under way." if in_flight else "No retraining is under way."
    return _criterion("in_flight", False, in_flight, not in_flight, sentence)


def _summary(criteria: list[Criterion], causes: list[Criterion], against: list[Criterion]) -> str:
    if causes and not against:
        return f"Retrain: {_sentences(causes)}"
    if causes:
        return f"Do not retrain: {_sentences(against)} What speaks for it: {_sentences(causes)}"
    quiet = [c for c in criteria if _is_cause(c)]
    return f"Do not retrain: {_sentences([*against, *quiet])}"


def _sentences(criteria: list[Criterion]) -> str:
    return " ".join(c.sentence for c in criteria)


def read_date(value: Any, what: str) -> date:
    """Return the day that ``value`` (a date, a moment, an ISO 8601 text) names.

    :raises RetrainPolicyError: it names none.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise RetrainPolicyError(
            f"{what} is {value!r}, which is no day.", remedy="Write it as 2013-05-31."
        ) from error
