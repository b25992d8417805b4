"""Questions to an MLflow server over HTTP, with nothing but the standard library.

A request that may be repeated without harm is tried three times when the server is away or busy;
another is not repeated once the server may have seen it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from airflow_ai_provider.adapters import mlflow
from airflow_ai_provider.adapters.mlflow import RegistrySettings
from airflow_ai_provider.core.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    in_one_line,
)

API = "/api/2.0/mlflow"
_PAUSES = (0.3, 0.9)  # seconds before the second and the third try
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
_CHUNK = 1 << 20
_LET_IN = "Check login, password or token of the connection: they may be wrong, or have expired."

# What MLflow's own authorisation asks for; READ for whatever else is asked of a model.
_NEEDS = {
    ("POST", "registered-models/alias"): "EDIT",
    ("DELETE", "registered-models/alias"): "MANAGE",
    ("POST", "model-versions/set-tag"): "EDIT",
    ("POST", "model-versions/create"): "EDIT",
    ("POST", "registered-models/create"): "to create registered models",
}

_Read = TypeVar("_Read")


class MlflowHttp:
    """One MLflow server."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self.base = mlflow.without_secrets(settings.uri).rstrip("/")
        self._headers = {"Content-Type": "application/json", **_authorization(settings)}
        context = _tls(settings) if self.base.startswith("https") else None
        handlers = [urllib.request.HTTPSHandler(context=context)] if context else []
        self._opener = urllib.request.build_opener(*handlers)

    def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, Any],
        *,
        repeatable: bool = True,
        api: str = API,
    ) -> dict[str, Any]:
        """Return the answer, a JSON object.

        :raises RegistryError: as of ``ModelRegistry``.
        """
        said = {key: value for key, value in fields.items() if value is not None}
        url, body = f"{self.base}{api}/{path}", None
        if method == "GET":
            url = f"{url}?{urlencode(said, quote_via=quote)}"
        else:
            body = json.dumps(said).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is http or https
            url, data=body, headers=self._headers, method=method
        )
        lacks = _NEEDS.get((method, path), "READ"), fields.get("name")
        return self._tried(request, self._document, lacks, repeatable=repeatable)

    def sha256(self, path: str, *, api: str) -> str:
        """Return the SHA-256 of the file that the server sends, as 64 hexadecimal digits."""
        url = f"{self.base}{api}/{quote(path)}"
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - as above
        return self._tried(request, self._digest, ("READ", None), repeatable=True)

    def part(self, document: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return the object under ``name``.

        :raises RegistryError: there is none.
        """
        found = document.get(name)
        if not isinstance(found, dict):
            raise self._stranger()
        return found

    def _tried(
        self,
        request: urllib.request.Request,
        read: Callable[[Any], _Read],
        lacks: tuple[str, str | None],
        *,
        repeatable: bool,
    ) -> _Read:
        patience = self.settings.timeout / (2 if repeatable else 1)
        last_try = time.monotonic() + patience
        pauses = iter(_PAUSES)
        while True:
            try:
                return self._send(request, read, lacks, patience)
            except RegistryUnavailableError as error:
                pause = next(pauses, None)
                unseen = isinstance(error.__cause__, ConnectionRefusedError)
                late = pause is None or time.monotonic() + pause > last_try
                if late or not (repeatable or unseen):
                    raise
            time.sleep(pause or 0)

    def _send(
        self,
        request: urllib.request.Request,
        read: Callable[[Any], _Read],
        lacks: tuple[str, str | None],
        patience: float,
    ) -> _Read:
        try:
            with self._opener.open(request, timeout=patience) as response:
                return read(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(error, lacks) from error
        except urllib.error.URLError as error:
            reason = error.reason
            cause = reason if isinstance(reason, BaseException) else error
            raise self._away(str(reason)) from cause
        except (OSError, http.client.HTTPException) as error:
            raise self._away(str(error) or type(error).__name__) from error

    def _document(self, response: Any) -> dict[str, Any]:
        try:
            document = json.load(response)
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(document, dict):
            raise self._stranger()
        return document

    @staticmethod
    def _digest(response: Any) -> str:
        found, size, said = hashlib.sha256(), 0, response.headers.get("Content-Length")
        while block := response.read(_CHUNK):
            found.update(block)
            size += len(block)
        if said is not None and size != int(said):  # a connection that broke ends a read quietly
            raise http.client.IncompleteRead(b"", int(said) - size)
        return found.hexdigest()

    def _stranger(self) -> RegistryError:
        return RegistryError(
            f"{self.base} answered, but not as MLflow does.",
            remedy="Check the tracking URI of the connection.",
        )

    def _refusal(
        self, error: urllib.error.HTTPError, lacks: tuple[str, str | None]
    ) -> RegistryError:
        text = error.read(10_000).decode(errors="replace")
        try:
            said = json.loads(text)
            code, message = str(said["error_code"]), str(said.get("message", ""))
        except (ValueError, KeyError, TypeError):
            code, message = f"HTTP {error.code}", text.strip()[:200] or str(error.reason)
        if error.code in {401, 403}:
            return self._denied(error.code, code, message, lacks)
        if error.code in _BUSY_STATUS:
            return RegistryUnavailableError(
                f"The registry {self.base} answers {error.code}: {message}", code=code
            )
        return mlflow.typed(self.base, code, message)

    def _denied(
        self, status: int, code: str, message: str, lacks: tuple[str, str | None]
    ) -> RegistryDeniedError:
        if status == 401:
            return RegistryDeniedError(
                f"The registry {self.base} does not let this user in (401): {message}",
                remedy=_LET_IN,
                status=status,
                code=code,
            )
        permission, model = lacks
        who = self._user() or "this user"
        where = "" if model is None or permission.startswith("to ") else f" on the model {model}"
        remedy = "Let who runs MLflow grant it, or name another login in the connection."
        if permission == "READ":  # MLflow does not tell strangers what is there
            remedy += " The same is said of what is not there: it may have to be made first."
        return RegistryDeniedError(
            f"The registry {self.base} does not let {who} do this (403): {in_one_line(message)}. "
            f"It asks for the permission {permission}{where}.",
            remedy=remedy,
            status=status,
            code=code,
            permission=permission,
            user=self._user(),
        )

    def _away(self, reason: str) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"The registry {self.base} does not answer: {reason}.",
            remedy="Check that the MLflow server runs and that this host may reach it.",
        )

    def _user(self) -> str | None:
        return self.settings.username or urlsplit(self.settings.uri).username


def _authorization(settings: RegistrySettings) -> dict[str, str]:
    parts = urlsplit(settings.uri)
    user, password = settings.username or parts.username, settings.password or parts.password
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {"Authorization": f"Bearer {settings.token}"} if settings.token else {}


def _tls(settings: RegistrySettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
