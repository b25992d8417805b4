"""The environments a model passes through, in order.

Each is an alias in the registry. Aliases are environments only; work before the registry has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_ai_provider.core.errors import PromotionError

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,254}")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class EnvironmentPath:
    """An ordered path of environments.

    ``decision_from`` is the first environment that nothing enters without a model gate's decision.

    :raises PromotionError: a name is no alias that MLflow takes, or stands twice.
    """

    names: tuple[str, ...] = ("dev", "test", "staging", "production")
    decision_from: str = "staging"

    def __post_init__(self) -> None:
        for name in self.names:
            if not _ALIAS.fullmatch(name) or _RESERVED.fullmatch(name):
                raise PromotionError(
                    f"{name!r} cannot be an environment: MLflow takes no such alias.",
                    remedy="Use letters, digits, - and _; not 'latest' and not 'v' with a number.",
                )
        if len(set(self.names)) != len(self.names) or not self.names:
            raise PromotionError("An environment path needs different names.", names=self.names)
        self.index(self.decision_from)

    def index(self, environment: str) -> int:
        """Return the place of ``environment`` on the path.

        :raises PromotionError: it is not on the path.
        """
        try:
            return self.names.index(environment)
        except ValueError:
            raise PromotionError(
                f"There is no environment {environment!r}.",
                remedy=f"Choose one of {', '.join(self.names)}.",
                environment=environment,
            ) from None

    def before(self, environment: str) -> str | None:
        """Return the environment that comes before ``environment``; None for the first."""
        place = self.index(environment)
        return self.names[place - 1] if place else None

    def needs_decision(self, environment: str) -> bool:
        """Whether nothing may enter ``environment`` without a model gate's decision."""
        return self.index(environment) >= self.index(self.decision_from)

    @property
    def last(self) -> str:
        """Where the live model, the champion, is."""
        return self.names[-1]


DEFAULT_PATH = EnvironmentPath()
