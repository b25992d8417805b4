"""The operator that writes a model card and puts it on the version."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import (
    AirflowAiError,
    RegistryUnavailableError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.promotion.card import CardTexts
    from airflow_ai_provider.services.promotion.carding import Card


class ModelCardOperator(BaseOperator):
    """Write the model card of a judged version and put it on that version.

    It tells purpose, data, metrics, slices, limits, ethics and approvals, with pictures of
    calibration, confusion or residuals, and permutation importance.
    The card and its pictures become artifacts of the run (``model_card/``); the version gets the
    tag ``airflow_ai.card`` with the card's SHA-256, ``airflow_ai.manifest`` with the digest of its
    files and ``airflow_ai.signature`` with that of its signature: what the phase gate's criterion
    ``model_logistics`` asks for. The version is the verdict's, or the one that its run was
    registered as since. It is made of what is on record: a verdict or an approval that the ledger
    does not know, or knows of other evidence, is refused.

    Returns ``{"model_name", "version", "digest", "files"}``.

    :param verdict: the result of a model gate.
    :param purpose: what the model is for; the project's business need unless said.
    :param limits: where it must not be relied on; the project's risks unless said.
    :param ethics: whom it may harm and what was done about it.
    :param approvals: records of approvals of the same evidence.
    :param project_file: the project file that purpose and limits come from.
    :param folder: also write card and pictures into this folder.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = (
        "verdict",
        "purpose",
        "limits",
        "ethics",
        "approvals",
        "project_file",
        "folder",
        "store_conn_id",
        "mlflow_conn_id",
    )
    template_fields_renderers = {"verdict": "json"}
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        verdict: Any,
        purpose: str | None = None,
        limits: str | None = None,
        ethics: str | None = None,
        approvals: Any = (),
        project_file: str | None = None,
        folder: str | None = None,
        store_conn_id: str = "ai_store_default",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.verdict = verdict
        self.purpose = purpose
        self.limits = limits
        self.ethics = ethics
        self.approvals = approvals
        self.project_file = project_file
        self.folder = folder
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the card, and say what it is."""
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.promotion.carding import make_card

        named = [self.approvals] if isinstance(self.approvals, str) else self.approvals
        try:
            card = make_card(
                self.verdict,
                texts=self._texts(),
                ledger=AiStoreHook(self.store_conn_id).ledger,
                approvals=[str(name) for name in named or () if name],
            )
            version = self._put(card)
        except (RegistryUnavailableError, StoreUnavailableError):
            raise  # Airflow tries again
        except AirflowAiError as error:
            raise AirflowFailException(str(error)) from error
        self.log.info("Model card of %s %s: %s", card.model_name, version, card.digest)
        return {
            "model_name": card.model_name,
            "version": version,
            "digest": card.digest,
            "files": sorted(card.files),
        }

    def _texts(self) -> CardTexts:
        from airflow_ai_provider.core.promotion.card import CardTexts
        from airflow_ai_provider.services.project_file import load_project

        purpose, limits = self.purpose, self.limits
        if self.project_file:
            project = load_project(self.project_file)
            purpose = purpose or project.business_need
            limits = limits or "\n".join(
                f"- {risk.name}: {risk.mitigation}" for risk in project.risks
            )
        return CardTexts(purpose=purpose, limits=limits, ethics=self.ethics)

    def _put(self, card: Card) -> str | None:
        """Keep the card with the run and the version; return that version, None without one."""
        from airflow_ai_provider.core.promotion.logistics import CARD_TAG
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.services.promotion.logistics import keep_logistics

        hook = ModelRegistryHook(self.mlflow_conn_id)
        with tempfile.TemporaryDirectory() as beside:
            card.write(Path(beside))
            if card.run_id is not None:
                hook.get_client().log_artifacts(card.run_id, beside, "model_card")
        if self.folder:
            card.write(Path(self.folder))
        registry, version = hook.get_conn(), card.version
        if version is None and card.run_id is not None:
            registered = registry.find_versions(card.model_name, run_id=card.run_id)
            version = registered[-1].version if registered else None
        if version is not None:
            registry.set_tags(card.model_name, version, {CARD_TAG: card.digest})
            keep_logistics(card.model_name, version, registry=registry, files=hook.get_files())
        return version
