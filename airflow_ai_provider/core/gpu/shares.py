"""Fair share: whose turn it is between teams, projects and phases.

Each pool has an account for every team, project and phase that asks in it or has a quota there. A
request is paid from up to three accounts, one of each kind, in devices: a share of a device is its
fraction of it, a MIG instance its compute slices of seven.

- An account that holds less than it is *guaranteed* stands below zero (-1 holds nothing); one that
  holds more has *borrowed*, and stands at what it borrowed over its *weight*.
- A request stands where the account that stands highest does (its dominant share); between equals
  the next highest decides. The lowest goes first, so that after each grant the next one goes to who
  is furthest below its share.
- A request is *entitled* when every guarantee that it is paid from covers it. Entitled requests go
  before all others of their priority; devices that one waits for are not lent to those behind it.
- No account passes its *ceiling*, whatever is free.

Teams and projects always take turns, with weight 1 and no guarantee unless a quota says otherwise;
phases do where the pool has a quota for one. Requests that name no team share one account.

The order is dominant resource fairness with the kinds in the place of resources (Ghodsi et al.,
NSDI 2011, section 4.1: progressive filling); guarantee, borrowing, weight and ceiling are those of
a Kueue ClusterQueue in a cohort (nominalQuota, borrowingLimit, fairSharing.weight), without
preemption: a task of Airflow cannot be stopped and go on later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from airflow_ai_provider.core.gpu.fair_share import KINDS, Quota

SLACK = 1e-9  # fractions of devices add up to a little more or less than they should


class Account:
    """What one team, project or phase holds of a pool, and may."""

    __slots__ = ("awaited", "ceiling", "guaranteed", "kind", "name", "standing", "used", "weight")

    def __init__(self, kind: str, name: str, quota: Quota | None = None) -> None:
        self.kind = kind
        self.name = name
        self.weight = 1.0 if quota is None else quota.weight
        self.guaranteed = 0.0 if quota is None else quota.guaranteed
        self.ceiling = inf if quota is None or quota.ceiling is None else quota.ceiling
        self.awaited = 0.0  # what its entitled requests wait for
        self.used = 0.0
        self.standing = 0.0
        self.pay(0.0)

    def pay(self, amount: float) -> None:
        """Count ``amount`` more devices as held; less when it is negative."""
        used = self.used + amount
        self.used = used = 0.0 if used < SLACK else used  # sevenths do not add up to nothing
        if used < self.guaranteed:
            self.standing = used / self.guaranteed - 1
        else:
            self.standing = (used - self.guaranteed) / self.weight


class Claims:
    """The accounts that a request is paid from."""

    __slots__ = ("accounts", "ceilings", "guarantees", "in_turn", "turn")

    def __init__(self, accounts: Sequence[Account], in_turn: Sequence[Account]) -> None:
        self.accounts = tuple(accounts)
        self.in_turn = tuple(in_turn)
        self.ceilings = tuple(a for a in accounts if a.ceiling < inf)
        self.guarantees = tuple(a for a in accounts if a.guaranteed > 0)
        # those with the same have their turn at the same time
        self.turn = (self.in_turn, self.guarantees)

    def standing(self) -> tuple[float, ...]:
        """Return the standings of its accounts, the highest first."""
        if len(self.in_turn) == 2:
            one, other = self.in_turn[0].standing, self.in_turn[1].standing
            return (one, other) if one >= other else (other, one)
        return tuple(sorted([account.standing for account in self.in_turn], reverse=True))

    def headroom(self) -> float:
        """Return how many more devices the ceilings let it have."""
        if not self.ceilings:
            return inf
        return min([account.ceiling - account.used + SLACK for account in self.ceilings])

    @property
    def lowest_ceiling(self) -> Account | None:
        """The account with the lowest ceiling, if any has one."""
        return min(self.ceilings, key=lambda account: account.ceiling, default=None)

    def entitled(self, amount: float) -> bool:
        """Whether guarantees cover ``amount`` more devices."""
        for a in self.guarantees:
            if a.used + a.awaited + amount > a.guaranteed + SLACK:
                return False
        return bool(self.guarantees)

    def await_(self, amount: float) -> None:
        """Count ``amount`` devices as waited for under the guarantees."""
        for account in self.guarantees:
            account.awaited += amount

    def pay(self, amount: float) -> None:
        """Count ``amount`` more devices as held; less when it is negative."""
        for account in self.accounts:
            account.pay(amount)


class Shares:
    """The accounts of every pool."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self._accounts: dict[tuple[str, str, str], Account] = {}
        self._claims: dict[tuple[str, str | None, str | None, str | None], Claims] = {}
        self._phased: set[str] = set()  # the pools that have a quota for a phase
        for quota in quotas:
            key = (quota.pool, quota.kind, quota.name)
            self._accounts[key] = Account(quota.kind, quota.name, quota)
            if quota.kind == "phase":
                self._phased.add(quota.pool)

    def claims(self, pool: str, team: str | None, project: str | None, phase: str | None) -> Claims:
        """Return the accounts that pay for such a request."""
        key = (pool, team, project, phase)
        found = self._claims.get(key)
        if found is None:
            names = (team or "", project, phase)
            accounts = [
                self._account(pool, kind, name)
                for kind, name in zip(KINDS, names, strict=True)
                if name is not None
            ]
            in_turn = [a for a in accounts if a.kind != "phase" or pool in self._phased]
            found = self._claims[key] = Claims(accounts, in_turn)
        return found

    def _account(self, pool: str, kind: str, name: str) -> Account:
        key = (pool, kind, name)
        if key not in self._accounts:
            self._accounts[key] = Account(kind, name)
        return self._accounts[key]
