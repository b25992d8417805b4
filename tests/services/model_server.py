"""A server of models in a folder: the port ``ModelFiles`` on plain files, its registry beside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from airflow_ai_provider.core.errors import RegistryUnavailableError
from airflow_ai_provider.core.promotion.copying import COPY_TAG, ModelDescription
from tests.services.promotion_registry import FileRegistry


class FolderServer:
    """Runs are folders ``runs/<id>`` with ``run.json`` and ``model/``.

    ``spoil`` changes what is stored under a path on its way, that many times.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        (folder / "runs").mkdir(exist_ok=True)
        self.registry = FileRegistry(folder / "registry.db")
        self.spoil: dict[str, int] = {}
        self.away_after: int | None = None
        self.calls: list[str] = []

    def make(self, name: str, files: Mapping[str, bytes], tags: Mapping[str, str]) -> str:
        """Make a run with a model and its version, and return the version."""
        run_id = f"run{len(list((self.folder / 'runs').iterdir()))}"
        self._model(run_id).mkdir(parents=True)
        for path, content in files.items():
            file = self._model(run_id) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        run = {"metrics": {"auc": 0.7}, "params": {"depth": "3"}, "tags": {}}
        self._run(run_id).write_text(json.dumps(run))
        made = self.registry.create_version(name, model_uri=run_id, run_id=run_id, tags=tags)
        return made.version

    def run(self, run_id: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self._run(run_id).read_text())
        return found

    def describe(self, name: str, version: str) -> ModelDescription:
        self._asked("describe")
        found = self.registry.get_version(name, version)
        run = self.run(found.run_id or "")
        return ModelDescription(
            address=str(self.folder),
            name=name,
            version=version,
            status=found.status,
            run_id=found.run_id,
            files=self._listed(found.run_id or ""),
            tags=found.tags,
            metrics={key: float(value) for key, value in run["metrics"].items()},
            params=run["params"],
        )

    def fetch(self, name: str, version: str, path: str, into: Path) -> None:
        self._asked("fetch")
        run_id = self.registry.get_version(name, version).run_id or ""
        shutil.copyfile(self._model(run_id) / path, into)

    def find_copy(self, key: str) -> str | None:
        self._asked("find_copy")
        for file in sorted((self.folder / "runs").glob("*/run.json")):
            if json.loads(file.read_text())["tags"].get(COPY_TAG) == key:
                return file.parent.name
        return None

    def start_copy(self, key: str, model: ModelDescription) -> str:
        self._asked("start_copy")
        run_id = f"copy{len(list((self.folder / 'runs').iterdir()))}"
        self._model(run_id).mkdir(parents=True)
        self._run(run_id).write_text(
            json.dumps({"metrics": {}, "params": {}, "tags": {COPY_TAG: key}})
        )
        return run_id

    def log(self, run_id: str, model: ModelDescription) -> None:
        self._asked("log")
        run = {**self.run(run_id), "metrics": dict(model.metrics), "params": dict(model.params)}
        self._run(run_id).write_text(json.dumps(run))

    def copied(self, run_id: str) -> Mapping[str, int]:
        self._asked("copied")
        return self._listed(run_id)

    def store(self, run_id: str, path: str, file: Path) -> None:
        self._asked("store")
        content = file.read_bytes()
        if self.spoil.get(path, 0) > 0:
            self.spoil[path] -= 1
            content = content[:-1] + b"?"
        place = self._model(run_id) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def fetch_copied(self, run_id: str, path: str, into: Path) -> None:
        self._asked("fetch_copied")
        shutil.copyfile(self._model(run_id) / path, into)

    def finish(self, run_id: str, tags: Mapping[str, str]) -> str:
        self._asked("finish")
        run = self.run(run_id)
        run["tags"].update(tags)
        self._run(run_id).write_text(json.dumps(run))
        return f"{run_id}/model"

    def content(self, run_id: str) -> dict[str, bytes]:
        """Return the files of a run."""
        return {path: (self._model(run_id) / path).read_bytes() for path in self._listed(run_id)}

    def _listed(self, run_id: str) -> dict[str, int]:
        root = self._model(run_id)
        return {
            file.relative_to(root).as_posix(): file.stat().st_size
            for file in root.rglob("*")
            if file.is_file()
        }

    def _model(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id / "model"

    def _run(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id / "run.json"

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.away_after is not None and len(self.calls) > self.away_after:
            raise RegistryUnavailableError(f"The server {self.folder.name} does not answer.")
