"""What each page shows, as JSON-safe values: at most ten queries each, no markup."""

from __future__ import annotations
