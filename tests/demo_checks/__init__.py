"""What must hold of a finished demo, one module per capability."""

from __future__ import annotations
