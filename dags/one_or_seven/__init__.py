"""Is it a 1 or a 7? The pair that forms are misread by most."""

from __future__ import annotations
