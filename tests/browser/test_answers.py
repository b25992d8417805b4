"""What people answer in the browser, on a whole Airflow whose tasks really wait for them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
import yaml

from airflow_ai_provider.core.feedback.exceptions import Asking
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.schema import exception_case, exception_seat, feedback
from tests.browser.life import cases
from tests.browser.site import CHROMIUM, QUIET, Site, folder_of_screenshots, serious_problems
from tests.browser.words import BACKWARDS, HOSTILE
from tests.live.stage import REPOSITORY, LiveStage, live

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
PARKED = 2.5  # seconds after which Airflow lets a task go on that has just begun to wait
WAITING = ["awaiting_input"] * 2
SOON = 60_000  # ms
DAG = "release"  # whose reviewers answer the cases


class Place:
    """A running Airflow with a scheduler, its store, and a browser."""

    def __init__(self, stage: LiveStage, store: Store, site: Site, passwords: dict[str, str]):
        self.stage, self.store, self.site, self.passwords = stage, store, site, passwords

    def login(self, user: str, path: str) -> Any:
        """Return the page at ``path`` of somebody who has logged in by Airflow's own form."""
        page = self.site.stranger()
        page.goto(f"{self.site.url}/auth/login?next={quote(path, safe='')}")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(self.passwords[user])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{path}")
        page.said.clear()  # what Airflow's own form says is no word of ours
        return page

    def asked(self, user: str, subject: str) -> Any:
        """Return Airflow's page of what ``user`` is asked, from its list of required actions."""
        page = self.login(user, "/required_actions")
        page.get_by_role("link", name=subject).click()
        page.wait_for_url("**/tasks/*/required_actions")
        return page

    def keep(self, page: Any, name: str) -> None:
        """Keep a screenshot."""
        page.screenshot(path=self.site.screenshots / f"{name}.png", full_page=True)

    def until_asked(self) -> None:
        """Wait until both tasks wait for their people, and may be answered."""
        deadline = time.monotonic() + 120
        while [task["task_instance"]["state"] for task in self.stage.rest.pending()] != WAITING:
            assert time.monotonic() < deadline, self.stage.tasks_by_state()
            time.sleep(0.5)
        time.sleep(PARKED)

    def until_done(self, dag: str) -> None:
        """Wait until every task of a DAG has succeeded."""
        deadline = time.monotonic() + 120
        while (states := self._states(dag)) != {"success"}:
            assert "failed" not in states, self.stage.tasks_by_state()
            assert time.monotonic() < deadline, self.stage.tasks_by_state()
            time.sleep(0.5)

    def _states(self, dag: str) -> set[str]:
        return {task["state"] for task in self.stage.rest.tasks() if task["dag_id"] == dag}

    def one(self, statement: sa.Select[Any]) -> Any:
        """Return the one row that a statement finds in the store."""
        with self.store.read() as connection:
            return connection.execute(statement).one()


def token_of(url: str, user: str, password: str) -> str:
    """Return what a browser's cookie holds once somebody has logged in."""
    body = {"username": user, "password": password}
    answer = httpx.post(f"{url}/auth/token", json=body, timeout=60, trust_env=False)
    return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("answers")
    url = f"sqlite:///{folder / 'airflow_ai.db'}"
    migrate(Store(url))
    project = yaml.safe_load((REPOSITORY / "dags/projects/flight_delays.yaml").read_text())
    project["title"] = f"Flights {HOSTILE}"
    estimate = {"best": 1, "likely": 1, "worst": 2}
    first = {"name": "kick_off", "phase": "discovery", "owner": "sponsor", "estimate": estimate}
    project["milestones"].insert(0, {**first, "deliverables": ["goals"]})
    (folder / "project.yaml").write_text(yaml.safe_dump(project))
    env = {"BROWSER_PROJECT": str(folder / "project.yaml")}
    dags = REPOSITORY / "tests/browser/dags"
    with live(folder, store=url, env=env, dags=dags) as stage, sync_playwright() as playwright:
        for dag in ("kick_off", "release"):
            stage.rest.trigger(dag)
        passwords = json.loads((folder / "home" / "passwords.json").read_text())
        site = Site(
            url=stage.url,
            tokens={user: token_of(stage.url, user, word) for user, word in passwords.items()},
            browser=playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET),
            screenshots=folder_of_screenshots(folder),
        )
        store = Store.open(url)
        yield Place(stage, store, site, passwords)
        store.close()
        site.browser.close()


def test_a_person_claims_answers_and_gives_back(place: Place) -> None:
    queue = ExceptionQueue(place.store)
    queue.add(cases(3), Asking(labels={"late": 1, f"in time {HOSTILE}": False}, dag_id=DAG))
    page = place.login("sponsor", "/airflow-ai/ui/exceptions")
    waits = {
        n: page.locator("#live article").filter(has_text=f"Prediction p{n}") for n in (1, 2, 3)
    }
    mine = {n: page.locator("#mine article").filter(has_text=f"Prediction p{n}") for n in (1, 2, 3)}
    comments = {1: f"Why? {HOSTILE} {BACKWARDS}", 3: f"Never sent. {HOSTILE}"}
    for n, comment in comments.items():
        waits[n].get_by_role("button", name="Look at it").press("Enter")
        mine[n].wait_for()
        page.wait_for_function("n => document.activeElement.textContent.includes('p' + n)", arg=n)
        mine[n].get_by_label("Comment").fill(comment)
    place.keep(page, "exceptions-claimed")
    assert serious_problems(page) == []

    gone = sa.select(exception_case.c.id).where(exception_case.c.prediction_id == f"p3 {HOSTILE}")
    queue.withdraw([place.one(gone).id])
    mine[3].filter(has_text="no longer yours").wait_for(timeout=SOON)  # as the next refresh tells
    assert mine[3].get_by_role("button", disabled=True).count() == 3
    for n, comment in comments.items():
        assert mine[n].get_by_label("Comment").input_value() == comment

    mine[1].get_by_role("radio", name=f"in time {HOSTILE}").press("Space")
    mine[1].get_by_role("button", name="Answer").press("Enter")
    page.locator("#told").filter(has_text="Your answer is taken.").wait_for()
    answered = page.get_by_role("region", name="What you answered")
    answered.wait_for()
    assert f"Why? {HOSTILE}" in answered.inner_text()
    row = place.one(sa.select(feedback).where(feedback.c.prediction_id == f"p1 {HOSTILE}"))
    assert (row.label, row.source_kind, row.comment) == ("false", "person", comments[1])
    assert json.loads(row.attributes)["reviewer"] == "sponsor"

    page.get_by_role("button", name="Take the next").press("Enter")
    mine[2].get_by_role("button", name="Give back").press("Enter")
    page.locator("#told").filter(has_text="It waits again.").wait_for()
    waits[2].get_by_role("button", name="Look at it").press("Enter")
    mine[2].get_by_role("button", name="I cannot tell").press("Enter")
    waits[2].filter(has_text="You could not tell.").wait_for()
    seat = sa.select(exception_seat.c.state).join(exception_case)
    second = seat.where(exception_case.c.prediction_id == f"p2 {HOSTILE}")
    assert place.one(second).state == "returned"
    assert page.said == []
    assert page.title() == "Exceptions · AI projects"
    page.context.close()


def test_a_viewer_sees_what_is_asked_and_is_refused(place: Place) -> None:
    page = place.site.page("viewer")
    page.goto(place.site.address("exceptions"))
    assert page.get_by_role("article").count() == 1
    assert page.get_by_role("article").filter(has_text="You may look, and not answer.").count() == 1
    assert page.locator("#main form:not(.search)").count() == 0
    claimed = page.evaluate(
        """async () => (await fetch("../exceptions/claim", {
            method: "POST", body: "{}", headers: {
              "Content-Type": "application/json",
              "X-Airflow-AI-Token": document.querySelector("meta[name=csrf-token]").content,
            }})).status"""
    )
    assert claimed == 403
    page.context.close()

    place.until_asked()
    page = place.asked("viewer", "May this version go to production?")
    with page.expect_response("**/hitlDetails") as answered:
        page.get_by_role("button", name="Approve").click()
    assert answered.value.status == 403
    place.keep(page, "approval-refused")
    page.context.close()
    assert len(place.stage.rest.pending()) == 2


def test_a_sponsor_answers_a_milestone_which_is_done_then(place: Place) -> None:
    place.until_asked()
    page = place.asked("sponsor", "Kick-off")
    goals = page.locator("#element_vision_and_goals")
    goals.fill(f"Warn of late arrivals an hour before. {HOSTILE}")
    place.keep(page, "milestone-form")
    with page.expect_response("**/hitlDetails") as answered:
        page.get_by_role("button", name="OK", exact=True).click()
    assert answered.value.status == 200
    page.context.close()
    place.until_done("kick_off")

    page = place.site.page("sponsor")
    page.goto(place.site.address("project?name=flight_delays"))
    assert page.locator("h1").inner_text() == f"Flights {HOSTILE}"
    gate = page.get_by_role("group").filter(has_text="project://flight_delays/discovery/kick_off")
    assert "by sponsor" in gate.locator("summary").inner_text()
    page.get_by_text("Every milestone").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="kick_off"))
    assert row.get_by_role("cell", name="done").count() == 1
    place.keep(page, "project-kicked-off")
    assert serious_problems(page) == []
    assert page.said == []
    page.context.close()


def test_an_approver_approves_and_our_pages_show_it(place: Place) -> None:
    page = place.asked("sponsor", "May this version go to production?")
    page.get_by_text(f"It ranks better than {HOSTILE}.").wait_for()  # nothing judged is left out
    page.locator("#element_comment").fill(f"Go. {HOSTILE}")
    place.keep(page, "approval-form")
    with page.expect_response("**/hitlDetails") as answered:
        page.get_by_role("button", name="Approve").click()
    assert answered.value.status == 200
    page.context.close()
    place.until_done("release")

    (record,) = Ledger(place.store).search(kind=GateKind.APPROVAL)
    assert (record.subject, record.verdict, record.decided_by) == (
        "mlflow://m/7",
        "pass",
        "sponsor",
    )
    page = place.site.page("sponsor")
    for address in ("model?name=m", f"record?id={record.id}"):
        page.goto(place.site.address(address))
        assert "sponsor" in page.locator("#main").inner_text()
    assert json.dumps(f"Go. {HOSTILE}") in page.locator("#main").inner_text()
    place.keep(page, "approval-record")
    assert serious_problems(page) == []
    assert page.said == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_form_fits_every_screen_and_any_prefix(place: Place, width: int, scheme: str) -> None:
    queue = ExceptionQueue(place.store)
    queue.add(cases(1, model=f"{width} {scheme}"), Asking(score=True, dag_id=DAG))
    page = place.site.page("ml", width=width, scheme=scheme)
    site, prefix = place.site.url, f"{place.site.url}/behind/a/prefix"

    def passed_on(route: Any) -> None:
        whole = route.request.url
        route.fulfill(response=route.fetch(url=whole.replace(prefix, site, 1)))

    page.route(f"{prefix}/**", passed_on)
    page.goto(f"{prefix}/airflow-ai/ui/exceptions?model={width}+{scheme}")
    page.get_by_role("button", name="Look at it").click()
    form = page.locator("#mine form")
    form.get_by_label("How good is it").fill("4.5")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    place.keep(page, f"exceptions-form-{width}-{scheme}")
    assert serious_problems(page) == []
    form.get_by_role("button", name="Answer").press("Enter")
    page.locator("#told").filter(has_text="Your answer is taken.").wait_for()
    row = place.one(sa.select(feedback).where(feedback.c.model_name == f"{width} {scheme}"))
    assert row.score == 4.5
    assert page.said == []
    page.context.close()
