"""Label Studio: an exported file, and the tasks of a project over its API, page by page."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow_ai_provider.adapters.feedback_file_source import FileSource
from airflow_ai_provider.core.errors import FeedbackSourceError, FeedbackSourceLostError
from airflow_ai_provider.core.feedback.label_studio import of_task
from airflow_ai_provider.core.feedback.source import Position, SourceRecord

_PAGE = 100
_AWAY = {408, 429, 500, 502, 503, 504}


class LabelStudioExport(FileSource):
    """A file of Label Studio's export in its format JSON: an array of tasks."""

    def __init__(
        self, path: Path, *, name: str | None = None, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(path, name=name)
        self._fields = fields

    def records(self) -> Iterator[SourceRecord]:
        """Yield every annotation of the file.

        :raises FeedbackSourceError: it is no whole export.
        """
        try:
            tasks = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise _no_export(self.name, str(error)) from error
        if not isinstance(tasks, list):
            raise _no_export(self.name, "it is no array of tasks")
        for number, task in enumerate(tasks, 1):
            yield from of_task(task, self._fields, place=f"{number}: ")


@dataclass(frozen=True, kw_only=True)
class LabelStudioLogin:
    """Where Label Studio is, and a token: a legacy one, or a personal access token (a JWT)."""

    url: str
    token: str = field(repr=False)
    timeout: float = 30.0


class LabelStudioProject:
    """The annotations of one project; every read asks for all, since old tasks may get new ones."""

    def __init__(
        self, login: LabelStudioLogin, project: int, *, fields: Mapping[str, str] | None = None
    ) -> None:
        self._login, self._project, self._fields = login, int(project), fields
        self._base = login.url.rstrip("/")
        self._authorization = f"Token {login.token}"

    @property
    def name(self) -> str:
        """The project's address."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}/projects/{self._project}"

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Yield every annotation of the project."""
        if self._login.token.count(".") == 2:
            told = self._ask("api/token/refresh", {"refresh": self._login.token})
            self._authorization = f"Bearer {told.get('access')}"
        seen, page, total = 0, 1, 1
        while seen < total:
            query = {"project": self._project, "page": page, "page_size": _PAGE, "fields": "all"}
            answer = self._ask(f"api/tasks?{urlencode(query)}")
            tasks, total = answer.get("tasks"), answer.get("total")
            if not isinstance(tasks, list) or not isinstance(total, int):
                raise self._error(FeedbackSourceError, "its answer is no page of tasks")
            if not tasks and seen < total:
                raise self._error(
                    FeedbackSourceLostError, f"it says {total} tasks and gave {seen}: it shrank"
                )
            for task in tasks:
                yield from of_task(task, self._fields)
            seen, page = seen + len(tasks), page + 1

    def position(self) -> Position | None:
        """Return nothing: a task of long ago may be annotated today."""
        return None

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if body is None:
            headers["Authorization"] = self._authorization
        data = None if body is None else json.dumps(body).encode()
        url = f"{self._base}/{path}"
        if urlsplit(url).scheme not in {"http", "https"}:
            raise self._error(FeedbackSourceError, "its address is no http:// or https:// one")
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=self._login.timeout) as answer:  # noqa: S310
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            kind = FeedbackSourceLostError if error.code in _AWAY else FeedbackSourceError
            raise self._error(kind, f"it answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error or type(error).__name__
            raise self._error(FeedbackSourceLostError, f"it does not answer: {reason}") from error
        except ValueError as error:
            raise self._error(FeedbackSourceError, "its answer is no JSON") from error
        if not isinstance(found, dict):
            raise self._error(FeedbackSourceError, "its answer is no JSON object")
        return found

    def _error(self, kind: type[FeedbackSourceError], why: str) -> FeedbackSourceError:
        return kind(
            f"Label Studio's {self.name} cannot be read: {why}.",
            remedy="Check the connection: its address, its token and the project's number.",
        )


def _no_export(name: str, why: str) -> FeedbackSourceError:
    return FeedbackSourceError(
        f"{name} is no whole export of Label Studio: {why}.",
        remedy="Export the project in the format JSON, and deliver the file again.",
        path=name,
    )
