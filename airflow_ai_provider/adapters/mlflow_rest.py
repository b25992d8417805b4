"""MLflow's model registry over its REST API, with nothing but the standard library.

A request that may be repeated without harm is tried three times when the server is away or busy;
making a version is not repeated once the server may have seen it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_ai_provider.adapters import mlflow
from airflow_ai_provider.adapters.mlflow import RegistrySettings
from airflow_ai_provider.core.errors import RegistryError, RegistryUnavailableError
from airflow_ai_provider.core.promotion.registry import ModelVersion

_API = "/api/2.0/mlflow"
_PAUSES = (0.3, 0.9)  # seconds before the second and the third try
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
_PAGE = 200


class RestRegistry:
    """A registry behind an MLflow server."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._base = mlflow.without_secrets(settings.uri).rstrip("/")
        self._headers = {"Content-Type": "application/json", **_authorization(settings)}
        context = _tls(settings) if self._base.startswith("https") else None
        handlers = [urllib.request.HTTPSHandler(context=context)] if context else []
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        return self._base

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias."""
        answer = self._ask("GET", "registered-models/get", {"name": name})
        found = self._part(answer, "registered_model")
        return {a["alias"]: str(a["version"]) for a in found.get("aliases", [])}

    def changed_at(self, name: str) -> str | None:
        """Return when MLflow last noted a change of the model."""
        answer = self._ask("GET", "registered-models/get", {"name": name})
        found = self._part(answer, "registered_model")
        return mlflow.moment(found.get("last_updated_timestamp"))

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""
        found = self._ask("GET", "model-versions/get", {"name": name, "version": version})
        return _version(self._part(found, "model_version"))

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Return the versions of the model, oldest first."""
        query: dict[str, Any] = {
            "filter": mlflow.version_filter(name, run_id),
            "max_results": _PAGE,
        }
        found: list[ModelVersion] = []
        while True:
            page = self._ask("GET", "model-versions/search", query)
            found.extend(map(_version, page.get("model_versions", [])))
            query["page_token"] = page.get("next_page_token")
            if not query["page_token"]:
                return sorted(found, key=lambda version: int(version.version))

    def create_model(self, name: str) -> None:
        """Make the registered model."""
        try:
            self._ask("POST", "registered-models/create", {"name": name})
        except RegistryError as error:
            if not mlflow.exists_already(error):
                raise

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the next version."""
        source, model_id = model_uri, mlflow.logged_model_id(model_uri)
        if model_id is None and model_uri.startswith("runs:/"):
            source, model_id = self._source_of_run(model_uri)
        body = {
            "name": name,
            "source": source,
            "run_id": run_id,
            "model_id": model_id,
            "tags": _pairs(tags),
        }
        made = self._ask("POST", "model-versions/create", body, repeatable=False)
        return _version(self._part(made, "model_version"))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Move the alias."""
        body = {"name": name, "alias": alias, "version": version}
        self._ask("POST", "registered-models/alias", body)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away."""
        self._ask("DELETE", "registered-models/alias", {"name": name, "alias": alias})

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for pair in _pairs(tags):
            self._ask("POST", "model-versions/set-tag", {"name": name, "version": version, **pair})

    def _source_of_run(self, model_uri: str) -> tuple[str, str | None]:
        run_id, path = mlflow.split_run_uri(model_uri)
        run = self._part(self._ask("GET", "runs/get", {"run_id": run_id}), "run")
        info = self._part(run, "info")
        query = {
            "experiment_ids": [info["experiment_id"]],
            "filter": f"name = '{path}' AND source_run_id = '{run_id}'",
        }
        models = self._ask("POST", "logged-models/search", query).get("models", [])
        if models:
            model_id = models[0]["info"]["model_id"]
            return f"models:/{model_id}", model_id
        return f"{info['artifact_uri']}/{path}", None

    def ask(self, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the server's answer to a question that changes nothing, asked under ``/api``."""
        return self._ask(method, path, fields, api="/api")

    def _ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, Any],
        *,
        repeatable: bool = True,
        api: str = _API,
    ) -> dict[str, Any]:
        said = {key: value for key, value in fields.items() if value is not None}
        url, body = f"{self._base}{api}/{path}", None
        if method == "GET":
            url = f"{url}?{urlencode(said, quote_via=quote)}"
        else:
            body = json.dumps(said).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is http or https
            url, data=body, headers=self._headers, method=method
        )
        patience = self._settings.timeout / (2 if repeatable else 1)
        last_try = time.monotonic() + patience
        pauses = iter(_PAUSES)
        while True:
            answer = self._send_or_away(request, patience)
            if not isinstance(answer, RegistryUnavailableError):
                return answer
            pause = next(pauses, None)
            unseen = isinstance(answer.__cause__, ConnectionRefusedError)
            late = pause is None or time.monotonic() + pause > last_try
            if late or not (repeatable or unseen):
                raise answer
            time.sleep(pause or 0)

    def _send_or_away(
        self, request: urllib.request.Request, patience: float
    ) -> dict[str, Any] | RegistryUnavailableError:
        try:
            return self._send(request, patience)
        except RegistryUnavailableError as error:
            return error

    def _send(self, request: urllib.request.Request, patience: float) -> dict[str, Any]:
        try:
            with self._opener.open(request, timeout=patience) as response:
                document = json.load(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except urllib.error.URLError as error:
            reason = error.reason
            cause = reason if isinstance(reason, BaseException) else error
            raise self._away(str(reason)) from cause
        except (OSError, http.client.HTTPException) as error:
            raise self._away(str(error) or type(error).__name__) from error
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(document, dict):
            raise self._stranger()
        return document

    def _part(self, document: Mapping[str, Any], name: str) -> dict[str, Any]:
        found = document.get(name)
        if not isinstance(found, dict):
            raise self._stranger()
        return found

    def _stranger(self) -> RegistryError:
        return RegistryError(
            f"{self._base} answered, but not as MLflow does.",
            remedy="Check the tracking URI of the connection.",
        )

    def _refusal(self, error: urllib.error.HTTPError) -> RegistryError:
        text = error.read(10_000).decode(errors="replace")
        try:
            said = json.loads(text)
            code, message = str(said["error_code"]), str(said.get("message", ""))
        except (ValueError, KeyError, TypeError):
            code, message = f"HTTP {error.code}", text.strip()[:200] or str(error.reason)
        if error.code in {401, 403}:
            return RegistryError(
                f"The registry {self._base} does not let this user in ({error.code}): {message}",
                remedy="Check login, password or token of the connection.",
                code=code,
            )
        if error.code in _BUSY_STATUS:
            return RegistryUnavailableError(
                f"The registry {self._base} answers {error.code}: {message}", code=code
            )
        return mlflow.typed(self._base, code, message)

    def _away(self, reason: str) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"The registry {self._base} does not answer: {reason}.",
            remedy="Check that the MLflow server runs and that this host may reach it.",
        )


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


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in tags.items()]


def _version(found: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=found["name"],
        version=str(found["version"]),
        run_id=found.get("run_id") or None,
        source=found.get("source") or None,
        status=found.get("status") or "READY",
        tags={tag["key"]: tag.get("value", "") for tag in found.get("tags", [])},
        created_by=found.get("user_id") or None,
        created_at=mlflow.moment(found.get("creation_timestamp")),
    )
