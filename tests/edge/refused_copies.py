"""Refused: copies that would not be the same."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.promotion.copying import MANIFEST_TAG
from tests.edge.guarded_scene import FILES, Act, Scene
from tests.edge.refusal_cases import FOR_GOOD, changed, pending, refusal

COPYING = "services/promotion/copying.py"
_STRANGER = {"path": "stranger", "is_dir": False, "file_size": 1}


@refusal(f"{COPYING}:copy_model#1", FOR_GOOD, says="needs a name of its own")
def copy_under_its_own_name(scene: Scene) -> Act:
    return scene.copying(target_name=scene.name)


@refusal(f"{COPYING}:_check#1", says="is PENDING_REGISTRATION, not READY")
def copy_of_a_version_that_is_not_ready(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=pending)
    return scene.copying()


@refusal(f"{COPYING}:_check#2", says="has no files")
def copy_of_nothing(scene: Scene) -> Act:
    for path in FILES:
        scene.remove(scene.runs[0], path)
    return scene.copying()


@refusal(f"{COPYING}:_fetch_all#1", says="came with 12 of 13 bytes")
def copy_of_a_file_that_comes_short(scene: Scene) -> Act:
    def longer(listing: Any) -> None:
        for item in listing.get("files", []):
            item["file_size"] = int(item.get("file_size") or 0) + 1

    scene.proxy.on("GET", "mlflow-artifacts/artifacts?", answer=changed(longer))
    return scene.copying()


@refusal(f"{COPYING}:_fetch_all#2", says="are not those that were once copied there")
def copy_of_a_copy_that_was_changed(scene: Scene) -> Act:
    scene.hands.set_tags(scene.name, "1", {MANIFEST_TAG: "0" * 64})
    return scene.copying()


@refusal(f"{COPYING}:_store_all#1", says="arrived changed")
def copy_that_is_spoilt_on_its_way(scene: Scene) -> Act:
    act = scene.copying()
    scene.target("editor", by_proxy=True)
    scene.proxy.on("GET", "/artifacts/model/MLmodel", skip=1, answer=lambda _: b"flavors: []\n")
    return act


@refusal(f"{COPYING}:_store_all#2", says="holds files that are not the model's: .*stranger")
def copy_beside_a_strange_file(scene: Scene) -> Act:
    def with_a_stranger(listing: Any) -> None:
        files = listing.get("files", [])
        if any(item["path"] == "MLmodel" for item in files):  # the listing of the folder
            listing["files"] = [*files, _STRANGER]

    act = scene.copying()
    scene.connect_directly()
    scene.target("editor", by_proxy=True)
    scene.proxy.on("GET", "mlflow-artifacts/artifacts?", answer=changed(with_a_stranger))
    return act


@refusal(f"{COPYING}:__enter__#1", says="belongs to somebody else")
def copy_by_a_folder_of_somebody_else(scene: Scene) -> Act:
    real, link = scene.folder / "real", scene.folder / "link"
    real.mkdir()
    link.symlink_to(real)
    return scene.copying(work_dir=str(link))


@refusal(
    "services/promotion/copy_turn.py:__enter__#1", says="d/r/other .* is copying .*/1 on .* now"
)
def copy_that_another_task_makes(scene: Scene) -> Act:
    return scene.copying_beside_another()
