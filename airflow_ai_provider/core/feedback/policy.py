"""The retrain policy: whether to retrain, with every reason and number.

Retraining needs a cause (the live calibration is off, or the champion's data is old) and every
condition (a champion, enough feedback, data newer than the champion's, no retraining too recent or
under way). A criterion passes when it speaks for retraining; what could not be measured does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.gate import Criterion, Verdict

CAUSES = ("calibration_gap", "champion_age")


@dataclass(frozen=True, kw_only=True)
class RetrainPolicy:
    """When to retrain; never while a retraining of the model is under way.

    :param max_gap: the calibration gap (observed rate minus mean score) that is still well; its
        interval must lie wholly beyond it, on either side. None: no cause.
    :param max_age_days: days between the end of the champion's training data and the end of the
        window from which age is a cause. None: no cause.
    :param min_feedback: outcomes of the champion's predictions that the window must have.
    :param cooldown_days: days of data between the windows of two retrainings.
    """

    max_gap: float | None = 0.02
    max_age_days: int | None = 60
    min_feedback: int = 1
    cooldown_days: int = 0

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
        for name, value in found.items():
            if name not in known:
                raise RetrainPolicyError(
                    f"A retrain policy has no {name!r}.", remedy=f"It has {', '.join(known)}."
                )
            optional = name in {"max_gap", "max_age_days"} and value is None
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            whole = name == "max_gap" or isinstance(value, int)
            if not optional and not (number and whole and value >= 0):
                raise RetrainPolicyError(
                    f"{name} of the retrain policy is {value!r}.",
                    remedy=f"Write a {'number' if name == 'max_gap' else 'whole number'} from 0.",
                )
        policy = cls(**found)
        if policy.max_gap is None and policy.max_age_days is None:
            raise RetrainPolicyError(
                "The retrain policy names no cause to retrain.",
                remedy="Give max_gap or max_age_days.",
            )
        return policy


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
) -> RetrainDecision:
    """Decide on retraining when the outcomes of the window that ends on ``window_end`` are in.

    ``metrics`` are the champion's figures in the window (``n``, ``gap``, ``gap_low``,
    ``gap_high``), ``newest_data`` is the last day of gated data older than the window, and
    ``last_retrain`` the end of the window of the retraining before this.
    """
    criteria = [_champion(champion)]
    if policy.max_gap is not None:
        criteria.append(_gap(policy.max_gap, champion, metrics))
    if policy.max_age_days is not None:
        criteria.append(_age(policy.max_age_days, champion, window_end))
    criteria.append(_enough(policy.min_feedback, metrics))
    criteria.append(_newer(champion, newest_data))
    criteria.append(_cooldown(policy.cooldown_days, window_end, last_retrain))
    criteria.append(_in_flight(in_flight))
    causes = [c for c in criteria if c.name in CAUSES and c.verdict is Verdict.PASS]
    against = [c for c in criteria if c.name not in CAUSES and c.verdict is not Verdict.PASS]
    retrain = bool(causes) and not against
    return RetrainDecision(
        retrain=retrain, criteria=tuple(criteria), summary=_summary(criteria, causes, against)
    )


def _criterion(name: str, limit: Any, observed: Any, speaks_for: bool, sentence: str) -> Criterion:
    return Criterion(
        name=name,
        limit=limit,
        observed=observed,
        verdict=Verdict.PASS if speaks_for else Verdict.FAIL,
        sentence=sentence,
    )


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
    quiet = [c for c in criteria if c.name in CAUSES]
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
