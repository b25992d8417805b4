"""What the product does, whole: core, store and adapters put together."""

from __future__ import annotations
