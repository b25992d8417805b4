"""The digest of the files of a version: asked of the server itself where it serves them.

Otherwise the files are where only MLflow's client finds them, in an object store for example, and
are fetched one after another: no more than one lies on this machine at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_ai_provider.adapters.mlflow import RegistrySettings, logged_model_id
from airflow_ai_provider.adapters.mlflow_http import MlflowHttp
from airflow_ai_provider.adapters.model_tree import digest_of_tree
from airflow_ai_provider.core.errors import RegistryNotFoundError
from airflow_ai_provider.core.promotion.artifacts import model_files, tree_digest

_FILES = "/api/2.0/mlflow-artifacts/artifacts"


def served_digest(settings: RegistrySettings, http: MlflowHttp, name: str, version: str) -> str:
    """Return the digest of a version of the server ``http``."""
    location = _location(http, name, version)
    if (local := local_digest(location)) is not None:
        return local
    folder = _served_folder(location)
    if folder is None:
        return client_digest(settings, name, version)
    digests = {
        path: http.sha256(f"{folder}/{path}", api=_FILES)
        for path in model_files(_listed(http, folder))
    }
    if not digests:
        raise no_files(name, version, location)
    return tree_digest(digests)


def client_digest(settings: RegistrySettings, name: str, version: str) -> str:
    """Return the digest of a version, its files fetched by MLflow's client."""
    from airflow_ai_provider.adapters.mlflow_files import MlflowFiles

    location, digests = MlflowFiles(settings).digests(name, version)
    if digests:
        return tree_digest(digests)
    if (local := local_digest(location)) is not None:
        return local  # one file is no folder that can be listed
    raise no_files(name, version, location)


def local_digest(location: str) -> str | None:
    """Return the digest of files on this machine; None when ``location`` is elsewhere."""
    parts = urlsplit(location)
    if parts.scheme not in {"", "file"} or parts.netloc not in {"", "localhost"}:
        return None
    place = Path(unquote(parts.path) if parts.scheme else location)
    if not place.is_file() and not (place.is_dir() and any(place.iterdir())):
        return None
    return digest_of_tree(place)[1]


def no_files(name: str, version: str, location: str) -> RegistryNotFoundError:
    """Return the error that says that a version has no files."""
    return RegistryNotFoundError(
        f"Version {version} of {name} has no files in {location}.",
        remedy="They were deleted, or are not to be reached from here: register the model again.",
        version=version,
    )


def _location(http: MlflowHttp, name: str, version: str) -> str:
    """Return where the files of a version are: the address of a folder."""
    asked = {"name": name, "version": version}
    location = str(http.ask("GET", "model-versions/get-download-uri", asked).get("artifact_uri"))
    model_id = logged_model_id(location)
    if model_id is None:
        return location
    model = http.part(http.ask("GET", f"logged-models/{model_id}", {}), "model")
    return str(http.part(model, "info").get("artifact_uri"))


def _served_folder(location: str) -> str | None:
    """Return the folder of ``mlflow-artifacts:/FOLDER``; None for what this server serves not."""
    parts = urlsplit(location)
    if parts.scheme != "mlflow-artifacts" or parts.netloc:
        return None
    return parts.path.strip("/")


def _listed(http: MlflowHttp, folder: str) -> list[str]:
    found: list[str] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        asked = {"path": f"{folder}/{below}".rstrip("/")}
        answer: dict[str, Any] = http.ask("GET", "artifacts", asked, api=_FILES.rpartition("/")[0])
        for item in answer.get("files", []):
            path = f"{below}/{item['path']}".lstrip("/")
            (waiting if item.get("is_dir") else found).append(path)
    return found
