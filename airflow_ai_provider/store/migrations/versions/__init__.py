"""One file per migration."""

from __future__ import annotations
