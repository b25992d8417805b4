"""Training code of the use case handwritten_digits."""

from __future__ import annotations
