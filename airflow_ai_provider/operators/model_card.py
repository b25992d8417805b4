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
    from airflow_ai_provider.hooks.promotion import ModelRegistryHook
    from airflow_ai_provider.services.promotion.carding import Card


_PLACE, _FOLDER = "airflow_ai.card_uri", "model_card"


class ModelCardOperator(BaseOperator):
    """Write the model card of a judged version and put it on that version.

    It tells purpose, data, training, metrics, slices, criteria, assessments, costs, limits, ethics
    and approvals, with pictures of calibration, confusion or residuals, permutation importance, and
    of a network's weights and gradients where training logged them
    (``services.promotion.histograms.log_histograms``). The card, as Markdown and as a page, and its
    pictures become artifacts of the run (``model_card/``); the version gets the tags
    ``airflow_ai.card`` with the SHA-256 of ``card.md``, ``airflow_ai.card_uri`` with its place,
    ``airflow_ai.manifest`` with the digest of its files and ``airflow_ai.signature`` with that of
    its signature: what the phase gate's criterion ``model_logistics`` asks for. The version is the
    verdict's, or the one that its run was registered as since. What has no run, such as a prompt,
    needs ``folder``. It is made of what is on record: a verdict
    or an approval that the ledger does not know, or knows of other evidence, is refused.

    Returns ``{"model_name", "version", "digest", "files"}``.

    :param verdict: the result of a model gate.
    :param purpose: what the model is for; the project's business need unless said.
    :param limits: where it must not be relied on; the use case's, else the project's risks.
    :param ethics: whom it may harm and what was done about it; the use case's words unless said.
    :param approvals: records of approvals of the same evidence.
    :param project_file: the project file that purpose, limits and ethics come from; the use case is
        the one that is named as the model.
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
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.promotion.carding import make_card
        from airflow_ai_provider.services.promotion.histograms import logged_histograms

        hook = ModelRegistryHook(self.mlflow_conn_id)
        named = [self.approvals] if isinstance(self.approvals, str) else self.approvals
        try:
            card = make_card(
                self.verdict,
                texts=self._texts(),
                ledger=AiStoreHook(self.store_conn_id).ledger,
                approvals=[str(name) for name in named or () if name],
                histograms=lambda run_id: logged_histograms(hook.get_client(), run_id),
            )
            version = self._put(card, hook)
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

        purpose, limits, ethics = self.purpose, self.limits, self.ethics
        if self.project_file:
            project = load_project(self.project_file)
            model = self.verdict.get("model_name") if isinstance(self.verdict, dict) else None
            use_case = next((case for case in project.use_cases if case.name == model), None)
            risks = "\n".join(f"- {risk.name}: {risk.mitigation}" for risk in project.risks)
            purpose = purpose or project.business_need
            if use_case is not None:
                limits, ethics = limits or use_case.limits, ethics or use_case.ethics
            limits = limits or risks
        return CardTexts(purpose=purpose, limits=limits, ethics=ethics)

    def _put(self, card: Card, hook: ModelRegistryHook) -> str | None:
        """Keep the card with the run and the version; return that version, None without one."""
        from airflow_ai_provider.core.errors import EvidenceError
        from airflow_ai_provider.core.promotion.logistics import CARD_TAG
        from airflow_ai_provider.services.promotion.logistics import keep_logistics

        if card.run_id is None and not self.folder:
            raise EvidenceError(
                f"{card.model_name} has no run that the card could be kept with.",
                remedy="Name a folder for it.",
            )
        tags = {CARD_TAG: card.digest}
        if self.folder:
            card.write(Path(self.folder))
            tags[_PLACE] = str(Path(self.folder) / "card.html")
        if card.run_id is not None:
            with tempfile.TemporaryDirectory() as beside:
                card.write(Path(beside))
                hook.get_client().log_artifacts(card.run_id, beside, _FOLDER)
            tags[_PLACE] = f"runs:/{card.run_id}/{_FOLDER}/card.html"
        registry, version = hook.get_conn(), card.version
        if version is None and card.run_id is not None:
            registered = registry.find_versions(card.model_name, run_id=card.run_id)
            version = registered[-1].version if registered else None
        if version is not None:
            registry.set_tags(card.model_name, version, tags)
            if card.run_id is not None:  # a prompt has no files and no signature
                keep_logistics(card.model_name, version, registry=registry, files=hook.get_files())
        return version
