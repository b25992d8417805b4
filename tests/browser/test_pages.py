"""The pages in a real browser on a real Airflow server: every size, scheme and role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import Store
from tests.airflow_made import make_airflow
from tests.browser.life import fill
from tests.browser.site import CHROMIUM, QUIET, Site, folder_of_screenshots, serious_problems
from tests.browser.words import HOSTILE

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
PAGES = {
    "board": "Board",
    "project?name=reviews": f"Reviews {HOSTILE}",
    "gpus": "GPU slots",
    "models": "Models",
    "model?name=m": "m",
    "feedback": "Feedback",
    "live?name=m": "m",
    "exceptions": "Exceptions",
    "ledger": "Ledger",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from playwright.sync_api import sync_playwright

    home = tmp_path_factory.mktemp("airflow")
    fill(Store.open(f"sqlite:///{home / 'airflow_ai.db'}"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        "PYTHONPATH": str(ROOT),
    }
    make_airflow(home)
    told, log = home / "told.json", home / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.server", told], env=env, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while not told.exists():
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        document = json.loads(told.read_text())
        screenshots = folder_of_screenshots(home)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            yield Site(browser=browser, screenshots=screenshots, **document)
            browser.close()
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.kill()
        server.wait()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_page_is_whole(site: Site, name: str, width: int, scheme: str) -> None:
    page = site.page("op", width=width, scheme=scheme)
    answer = page.goto(site.address(name))
    assert answer.status == 200
    assert page.locator("h1").inner_text() == PAGES[name]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    short = name.partition("?")[0]
    page.screenshot(path=site.screenshots / f"{short}-{width}-{scheme}.png", full_page=True)
    assert serious_problems(page) == []
    assert page.said == []
    assert page.title().endswith("· AI projects")  # no hostile word ran
    assert page.locator("img").count() == 0
    page.context.close()


def test_hostile_words_are_shown_as_text(site: Site) -> None:
    page = site.page("viewer")
    for name in ("board", "project?name=reviews", "gpus", "model?name=m", "exceptions"):
        page.goto(site.address(name))
        assert HOSTILE in page.locator("#main").inner_text()
    page.context.close()


def test_the_data_refresh_by_themselves_and_times_are_the_viewers(site: Site) -> None:
    page = site.page("viewer")
    page.goto(site.address("models"))
    stamp = page.locator("time").first
    assert "UTC" not in stamp.inner_text()
    assert stamp.get_attribute("title") == stamp.get_attribute("datetime")
    page.locator("#fresh").filter(has_text="As of").wait_for(timeout=30_000)
    assert page.said == []
    page.context.close()


def test_who_is_signed_out_is_told(site: Site) -> None:
    page = site.page("viewer")
    page.goto(site.address("models"))
    page.context.clear_cookies()
    page.locator("#fresh").filter(has_text="signed out").wait_for(timeout=30_000)
    page.context.close()


def test_only_who_may_start_the_dag_is_offered_the_way_back(site: Site) -> None:
    for role, offered in (("viewer", 0), ("user", 1)):
        page = site.page(role)
        page.goto(site.address("model?name=m"))
        assert page.get_by_role("button", name="Roll back").count() == offered
        page.context.close()


def test_the_chain_is_verified_and_exported(site: Site) -> None:
    page = site.page("viewer")
    page.goto(site.address("ledger"))
    page.get_by_role("button", name="Verify the chain").click()
    page.locator("#verified").filter(has_text="unchanged and in order").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as JSON Lines").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == page.locator("tbody tr").count()
    assert {json.loads(line)["kind"] for line in lines} >= {"model", "promotion", "rollback"}
    page.context.close()


def test_a_page_is_used_by_keyboard_alone(site: Site) -> None:
    page = site.page("viewer")
    page.goto(site.address("ledger"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "kind"
    page.context.close()


def test_nothing_is_shown_to_nobody(site: Site) -> None:
    page = site.browser.new_page()
    for name in PAGES:
        assert page.goto(site.address(name)).status == 401
        assert "Reviews" not in page.content()
    page.close()
