"""Every route and verb of the plugin, asked by everybody, with the cookie and with a bearer token.

A route that is added is declared here, with what each role gets, or this fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.ledger import Ledger
from tests.browser.life import fill
from tests.edge.plugin_stage import PREFIX, Ask, Told, ask_all
from tests.hidden_life import DATA, FEW, MODEL, PROJECT, WORDS, fill_hidden

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# user and role; the last is logged in and has no role
PEOPLE = {
    "nobody": (None, None),
    "viewer": ("viewer", "viewer"),
    "user": ("user", "user"),
    "operator": ("op", "op"),
    "admin": ("admin", "admin"),
    "stranger": ("stranger", None),
}
ABSENT = {"RECORD": "0" * 32, "CASE": "0" * 32, "LEASE": "0" * 32,
          "MODEL": "zmodel", "PROJECT": "zproject", "DATA": "zdata"}  # fmt: skip
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What each of ``PEOPLE`` gets on a route; ``query`` and ``at`` complete its address."""

    gets: tuple[int, ...]
    query: str = ""
    at: dict[str, str] = field(default_factory=dict)
    body: Any = None
    reads_store: bool = True

    def address(self, path: str, names: Mapping[str, str]) -> str:
        """Return the address of a route at ``path``; ``names`` are given for those in capitals."""
        at = {key: names.get(value, value) for key, value in self.at.items()}
        query = re.sub(r"[A-Z]{4,}", lambda found: names[found[0]], self.query)
        return f"{PREFIX}{path.format(**at)}{'?' if query else ''}{query}"


def read(status: int = 200, query: str = "", *, reads_store: bool = True, **at: str) -> Row:
    """Return the row of a route that everybody with a role may read."""
    gets = (401, status, status, status, status, 403)
    return Row(gets=gets, query=query, at=at, reads_store=reads_store)


GOOD = {"feedback_id": "h1", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z", "score": 4}
ROUTES: dict[tuple[str, str], Row] = {
    ("GET", "/ledger"): read(),
    ("GET", "/ledger/verify"): read(),
    ("GET", "/ledger/{record_id}"): read(record_id="RECORD"),
    ("GET", "/exceptions"): read(),
    ("GET", "/exceptions/mine"): read(),
    ("POST", "/exceptions/claim"): Row(
        gets=(401, 403, 200, 200, 200, 403), body={"model": "queued", "limit": 1}
    ),
    # of a case that somebody else looks at: who may answer at all is told so
    ("POST", "/exceptions/{case_id}/answer"): Row(
        gets=(401, 403, 409, 409, 409, 403), at={"case_id": "CASE"}, body={"label": 1}
    ),
    ("POST", "/exceptions/{case_id}/return"): Row(
        gets=(401, 403, 409, 409, 409, 403), at={"case_id": "CASE"}
    ),
    ("POST", "/feedback"): Row(gets=(401, 403, 403, 200, 200, 403), body=GOOD),
    ("POST", "/feedback/label-studio"): Row(
        gets=(401, 403, 403, 200, 200, 403), body={"action": "PROJECT_CREATED"}
    ),
    ("GET", "/feedback/schema"): read(reads_store=False),
    ("GET", "/feedback/metrics"): read(query="model=MODEL"),
    ("GET", "/gpu"): read(),
    ("GET", "/gpu/lease/{lease_id}"): read(lease_id="LEASE"),
    ("GET", "/promotion/history"): read(query="model=MODEL"),
    ("GET", "/promotion/alarms"): read(query="model=MODEL"),
    ("GET", "/quality/list"): read(),
    ("GET", "/quality/dataset"): read(query="name=ai-data://DATA"),
    ("GET", "/quality/task"): read(query="dag_id=d&run_id=r&task_id=t"),
    ("GET", "/quality/record/{record_id}"): read(record_id="RECORD"),
    ("GET", "/ui"): read(307, reads_store=False),
    ("GET", "/ui/board"): read(),
    ("GET", "/ui/project"): read(query="name=PROJECT"),
    ("GET", "/ui/gpus"): read(),
    ("GET", "/ui/models"): read(),
    ("GET", "/ui/model"): read(query="name=MODEL"),
    ("GET", "/ui/feedback"): read(),
    ("GET", "/ui/exceptions"): read(),
    ("GET", "/ui/live"): read(query="name=MODEL"),
    ("GET", "/ui/ledger"): read(),
    ("GET", "/ui/record"): read(query="id=RECORD"),
    ("GET", "/ui/ledger/verify"): read(),
    ("GET", "/ui/ledger/export"): read(),
    ("GET", "/ui/static/{name}"): read(name="ui.css", reads_store=False),
}
CHANGES = [route for route in ROUTES if route[0] != "GET"]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What was asked and told."""

    routes: set[tuple[str, str]]
    told: dict[tuple[Any, ...], Told]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    home = tmp_path_factory.mktemp("airflow")
    shown, hidden = _fill(Store.open(f"sqlite:///{home / 'airflow_ai.db'}"))
    asks = {**dict(_asks(shown)), **dict(_asks_for(hidden))}
    routes, told = ask_all(home, list(asks.values()))
    return Matrix(routes=routes, told=dict(zip(asks, told, strict=True)))


def _fill(store: Store) -> tuple[dict[str, str], dict[str, str]]:
    """Return how what everybody may see is named, and what only the sponsor and operators may."""
    fill(store)
    ids = fill_hidden(store)
    record = Ledger(store).append(
        GateDraft(kind=GateKind.DATA, subject="ai-data://x/1", verdict=Verdict.PASS)
    )
    queue = ExceptionQueue(store)
    findings = [
        Finding(model_name=model, prediction_id=f"p{n}", reason=Reason.DISPUTED, urgency=n / 50)
        for model, many in (("queued", 40), ("held", 1))
        for n in range(many)
    ]
    queue.add(findings, Asking(labels={"late": 1, "in time": 0}, dag_id="d"))
    [held] = queue.claim("somebody else", model_name="held", limit=1)
    leases = [h["id"] for d in snapshot(store)["devices"] for h in d["holders"]]
    [lease, *_] = [lease for lease in leases if lease != ids["lease"]]
    shown = {"RECORD": record.id, "CASE": held.id, "LEASE": lease,
             "MODEL": "m", "PROJECT": "reviews", "DATA": "x"}  # fmt: skip
    hidden = {"RECORD": ids["gate"], "CASE": ids["case"], "LEASE": ids["lease"],
              "MODEL": MODEL, "PROJECT": PROJECT, "DATA": DATA}  # fmt: skip
    return shown, hidden


def _asks(names: dict[str, str]) -> Any:
    for (method, path), row in ROUTES.items():
        address = row.address(path, names)

        def ask(who: str, address: str = address, row: Row = row, **more: Any) -> Ask:
            user, role = PEOPLE[who]
            return Ask(**{"path": address, "user": user, "role": role, "body": row.body} | more)

        for who in PEOPLE:
            for how in ("bearer", "cookie"):
                token = _own(who)
                yield (
                    (method, path, who, how),
                    ask(who, method=method, how=how, token=token if how == "cookie" else None),
                )
        for wrong in ("no token", "0" * 64, "") if method != "GET" else ():
            given = None if wrong == "no token" else wrong
            yield (method, path, "forged", wrong), ask(
                "admin", method=method, how="cookie", token=given,
                headers={"Origin": "http://testserver", "Referer": "http://testserver/"},
            )  # fmt: skip
        if method != "GET":
            yield (
                (method, path, "forged", "another's"),
                ask("admin", method=method, how="cookie", token=_own("user")),
            )
            yield (
                (method, path, "forged", "empty bearer"),
                ask("admin", method=method, how="cookie", headers={"Authorization": "Bearer "}),
            )
        for verb in VERBS:
            if (verb, path) not in ROUTES:
                yield (verb, path, "undeclared"), ask("admin", method=verb, body=None)
        if method == "GET" and row.reads_store:
            gone = '{"conn_type": "ai_store", "extra": {"url": "sqlite:////nowhere/at/all.db"}}'
            yield (
                (method, path, "no store"),
                ask("viewer", store=gone, headers={"Accept": "text/html"}),
            )


def _asks_for(hidden: dict[str, str]) -> Any:
    """Ask each route for what is hidden, and for what is not there."""
    for (method, path), row in ROUTES.items():
        body = {"model": MODEL} if path.endswith("claim") else row.body
        for what, names in (("hidden", hidden), ("absent", ABSENT)):
            for who in ("viewer" if method == "GET" else "user", "operator"):
                user, role = PEOPLE[who]
                address = row.address(path, names)
                asked = Ask(path=address, method=method, user=user, role=role, body=body)
                yield (method, path, who, what), asked


def _own(who: str) -> str | None:
    user, role = PEOPLE[who]
    return f"{user}/{role}" if role else None


def test_every_route_is_declared(matrix: Matrix) -> None:
    assert matrix.routes == {(method, f"{PREFIX}{path}") for method, path in ROUTES}


@pytest.mark.parametrize("how", ["bearer", "cookie"])
@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_gets_what_is_declared(matrix: Matrix, who: str, how: str) -> None:
    place = list(PEOPLE).index(who)
    declared = {route: row.gets[place] for route, row in ROUTES.items()}
    assert {route: matrix.told[(*route, who, how)].status for route in ROUTES} == declared


@pytest.mark.parametrize("forged", ["no token", "0" * 64, "", "another's", "empty bearer"])
def test_a_change_with_the_cookie_needs_the_pages_token(matrix: Matrix, forged: str) -> None:
    found = {route: matrix.told[(*route, "forged", forged)] for route in CHANGES}
    assert {route: told.status for route, told in found.items()} == dict.fromkeys(CHANGES, 403)
    assert {told.json()["detail"] for told in found.values()} == {
        "The page's token is missing or old: load the page anew."
    }


def test_no_other_verb_is_answered(matrix: Matrix) -> None:
    found = {key: told.status for key, told in matrix.told.items() if key[2] == "undeclared"}
    assert len(found) == len({path for _, path in ROUTES}) * len(VERBS) - len(ROUTES)
    assert set(found.values()) == {405}


def test_what_is_hidden_is_as_if_it_were_not_there(matrix: Matrix) -> None:
    for route in ROUTES:
        who = "viewer" if route[0] == "GET" else "user"
        hidden, absent = (matrix.told[(*route, who, what)] for what in ("hidden", "absent"))
        assert hidden.status == absent.status, route
        for word, other in ((MODEL, "zmodel"), (PROJECT, "zproject"), (DATA, "zdata")):
            assert hidden.text.count(word) == absent.text.count(other), route  # as it was asked for
        assert FEW not in hidden.text, route


def test_who_is_named_sees_it(matrix: Matrix) -> None:
    told = {route: matrix.told[(*route, "operator", "hidden")] for route in ROUTES}
    absent = {route: matrix.told[(*route, "operator", "absent")].status for route in ROUTES}
    silent = {path for (method, path), answer in told.items()
              if method == "GET" and not any(word in answer.text for word in WORDS)}  # fmt: skip
    assert silent == {
        "/ledger/verify", "/exceptions/mine", "/feedback/schema", "/quality/task", "/ui",
        "/ui/ledger/verify", "/ui/static/{name}",
    }  # fmt: skip
    assert {path for (_, path), status in absent.items() if status == 404} == {
        "/ledger/{record_id}", "/exceptions/{case_id}/answer", "/exceptions/{case_id}/return",
        "/gpu/lease/{lease_id}", "/quality/record/{record_id}", "/ui/project", "/ui/model",
        "/ui/live", "/ui/record",
    }  # fmt: skip
    assert {answer.status for answer in told.values()} == {200, 307, 409}


def test_a_store_that_is_gone_is_said_with_a_remedy(matrix: Matrix) -> None:
    found = {key[1]: told for key, told in matrix.told.items() if key[2] == "no store"}
    assert {told.status for told in found.values()} == {503}
    for path, told in found.items():
        assert "There is no store at" in told.text
        assert ("<h1>The store cannot be read</h1>" in told.text) == path.startswith("/ui/")


def test_no_page_may_be_framed_kept_or_filled_by_another_site(matrix: Matrix) -> None:
    pages = [
        t for t in matrix.told.values() if t.headers.get("content-type", "").startswith("text/html")
    ]
    assert len(pages) > 100
    for told in pages:
        policy = told.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "script-src 'unsafe" not in policy
        assert told.headers["cache-control"] == "no-store"
        assert told.headers["x-content-type-options"] == "nosniff"
