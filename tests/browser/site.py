"""What the browser tests look at pages with."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running server, and a browser."""

    url: str
    tokens: dict[str, str]
    browser: Any
    screenshots: Path

    def page(self, who: str, *, width: int = 1280, scheme: str = "light") -> Any:
        """Return a page of somebody who is logged in: a role, or a user."""
        page = self.stranger(width=width, scheme=scheme)
        token = {"name": "_token", "value": self.tokens[who], "url": self.url}
        page.context.add_cookies([token])
        return page

    def stranger(self, *, width: int = 1280, scheme: str = "light") -> Any:
        """Return a page of nobody yet; what its console says is kept in ``said``."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
        return page

    def address(self, name: str) -> str:
        """Return where a page is."""
        return f"{self.url}/airflow-ai/ui/{name}"


def folder_of_screenshots(otherwise: Path) -> Path:
    """Return where screenshots are kept: where ``AIRFLOW_AI_SCREENSHOTS`` says."""
    found = Path(os.environ.get("AIRFLOW_AI_SCREENSHOTS") or otherwise / "screenshots")
    found.mkdir(parents=True, exist_ok=True)
    return found


def serious_problems(page: Any) -> list[Any]:
    """Return what axe calls serious or critical in a page, each with where it is."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in {"serious", "critical"}]
    return [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in serious]
