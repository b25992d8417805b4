"""What a version needs to be delivered: its signature, its card, and the digest of its files.

Each is a tag of the version in the registry, so that whoever takes it over can check it.
"""

from __future__ import annotations

from airflow_ai_provider.core.promotion.copying import MANIFEST_TAG
from airflow_ai_provider.core.promotion.registry import ModelVersion

CARD_TAG = "airflow_ai.card"  # the SHA-256 of the card's text
SIGNATURE_TAG = "airflow_ai.signature"  # the SHA-256 of the signature's canonical JSON
NEEDED = {"signature": SIGNATURE_TAG, "card": CARD_TAG, "digest": MANIFEST_TAG}


def lacking(version: ModelVersion) -> tuple[str, ...]:
    """Return what ``version`` lacks of its logistics, in the words of ``NEEDED``."""
    return tuple(what for what, tag in NEEDED.items() if not version.tags.get(tag))
