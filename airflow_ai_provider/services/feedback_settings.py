"""The settings of ``[ai_provider]`` that are about feedback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_ai_provider.core.errors import SettingsError
from airflow_ai_provider.core.feedback.comments import Comments
from airflow_ai_provider.services.settings import from_environment


@dataclass(frozen=True, kw_only=True)
class FeedbackSettings:
    """What is kept of feedback."""

    feedback_comments: Comments = Comments.KEEP

    @classmethod
    def of(cls, options: Mapping[str, str]) -> FeedbackSettings:
        """Read options by name; those that are absent or empty keep their defaults.

        :raises SettingsError: a value means nothing.
        """
        said = (options.get("feedback_comments") or cls.feedback_comments.value).strip().lower()
        try:
            return cls(feedback_comments=Comments(said))
        except ValueError:
            raise SettingsError(
                f"The setting feedback_comments is {said!r}.",
                remedy=f"Write one of {', '.join(kind.value for kind in Comments)}.",
                setting="feedback_comments",
            ) from None

    @classmethod
    def from_environment(cls) -> FeedbackSettings:
        """Read ``AIRFLOW__AI_PROVIDER__<OPTION>``, as outside Airflow."""
        return cls.of(from_environment(cls.__annotations__))
