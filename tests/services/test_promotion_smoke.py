"""A move that the endpoint does not serve is taken back: on record, once, killed anywhere too."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_ai_provider.adapters.endpoint import Answer, post_json
from airflow_ai_provider.core.errors import PromotionError, SmokeCheckError
from airflow_ai_provider.core.promotion.smoke import SmokeCheck
from airflow_ai_provider.services.promotion import (
    PromotionOrder,
    check_aliases,
    history,
    promote_checked,
)
from airflow_ai_provider.services.promotion.checked import smoke
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.testing import memory_store
from tests.services.kills import Boundaries, WatchedPort, in_a_process, watched_store
from tests.services.promotion_registry import FileRegistry, tags_of
from tests.services.promotion_world import World

CHECK = SmokeCheck(url="http://h", inputs=[[1]], patience=0)


def serves(*_arguments, **_named):
    return Answer(status=200, document={"predictions": [0.5]})


def fails(*_arguments, **_named):
    return Answer(status=200, document={"predictions": [None]})


def go(world, version="2", *, ask, key="k", by="d/r/go"):
    return promote_checked(
        PromotionOrder(model_name="m", version=version, environment="dev"),
        CHECK,
        promotions=world.promotions,
        registry=world.registry,
        key=key,
        moved_by=by,
        ask=ask,
        patience=0.0,
    )


@pytest.fixture
def world():
    return World(memory_store())


def test_what_is_served_stays(world):
    done = go(world, ask=serves)
    assert done.version == "2"
    assert go(world, ask=serves) == done
    assert world.registry.aliases("m") == {"dev": "2"}


def test_what_is_not_served_is_taken_back(world):
    world.promote("dev", "1")
    with pytest.raises(
        SmokeCheckError, match="predicts None; the move was taken back to version 1"
    ):
        go(world, ask=fails)
    assert world.registry.aliases("m") == {"dev": "1"}
    assert tags_of(world.registry, "m", "airflow_ai.dev") == {"1": "live", "2": "rolled back"}
    told = history("m", ledger=world.ledger)
    assert [i["version"] for i in told] == ["1", "2", "1"]
    back = world.ledger.search()[-1]
    assert (back.kind, back.subject) == ("rollback", "mlflow://m/1")
    assert back.evidence["for_cause"]
    assert back.evidence["reason"] == "smoke check of the endpoint: it predicts None"
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []


def test_the_first_version_of_an_environment_is_taken_back_to_nothing(world):
    with pytest.raises(SmokeCheckError, match="taken back, and nothing is there now"):
        go(world, ask=fails)
    assert world.registry.aliases("m") == {}
    assert [i["to"] is None for i in history("m", ledger=world.ledger)] == [False]
    assert check_aliases("m", ledger=world.ledger, registry=world.registry) == []


def test_a_retry_does_not_move_again(world):
    world.promote("dev", "1")
    for ask in (fails, serves):
        with pytest.raises(SmokeCheckError, match="taken back to version 1"):
            go(world, ask=ask)
    assert len(world.ledger.search()) == 3
    with pytest.raises(PromotionError, match="rolled back from dev for cause"):
        world.promote("dev", "2")


def test_what_was_there_before_stays(world):
    world.promote("dev", "2", by="d/earlier/go")
    with pytest.raises(SmokeCheckError, match="was there before this task, and stays"):
        go(world, ask=fails)
    assert world.registry.aliases("m") == {"dev": "2"}


@pytest.mark.slow
def test_killed_anywhere_it_is_taken_back_by_its_retry(tmp_path):
    def place(folder, boundary=None):
        url = f"sqlite:///{folder / 'ai.db'}"
        store = watched_store(url, boundary) if boundary else Store(url)
        registry = FileRegistry(folder / "registry.db")
        made = World.__new__(World)
        made.store, made.ledger, made.promotions = store, Ledger(store), Promotions(store)
        made.registry = WatchedPort(registry, boundary) if boundary else registry
        return made

    template = tmp_path / "template"
    template.mkdir()
    first = place(template)
    migrate(first.store)
    for number in (1, 2):
        first.registry.create_version("m", model_uri=f"s3://b/{number}", run_id=None, tags={})
    first.promote("dev", "1", key="first")
    first.store.close()

    def doomed(folder, boundary):
        def ask(*_arguments, **_named):
            boundary("before ask")
            return fails()

        with pytest.raises(SmokeCheckError):
            go(place(folder, boundary), ask=ask)

    counted = Boundaries()
    doomed(shutil.copytree(template, tmp_path / "counted"), counted)
    assert counted.passed.count("after set_alias") == 2
    for die_at, name in enumerate(counted.passed):
        folder = shutil.copytree(template, tmp_path / str(die_at))
        ended = in_a_process(lambda f=folder, n=die_at: doomed(f, Boundaries(n)))
        assert ended == -signal.SIGKILL, name
        left = place(folder)
        with pytest.raises(SmokeCheckError, match="taken back to version 1"):
            go(left, ask=fails)
        kinds = [(r.kind, r.evidence["to"]) for r in left.ledger.search()]
        assert kinds == [("promotion", "1"), ("promotion", "2"), ("rollback", "1")], name
        assert left.registry.aliases("m") == {"dev": "1"}, name
        tags = tags_of(left.registry, "m", "airflow_ai.dev")
        assert tags == {"1": "live", "2": "rolled back"}, name
        left.store.close()


# --- the endpoint -------------------------------------------------------------------------------


class Endpoint:
    """Answers as told, one after the other, the last for ever."""

    def __init__(self):
        self.answers, self.asked = [], []

    def __call__(self, handler):
        length = int(handler.headers["Content-Length"])
        self.asked.append((json.loads(handler.rfile.read(length)), dict(handler.headers)))
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(text.encode())


@pytest.fixture
def endpoint():
    made = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            made(self)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/invocations"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        ([(200, "[1]")], None),
        ([(503, ""), (200, "[1]")], None),
        ([(200, '{"v": 1, "predictions": [1]}'), (200, '{"v": 2, "predictions": [1]}')], None),
        ([(200, '{"v": 1, "predictions": [1]}')], "it serves version 1, not 2"),
        ([(500, "")], "it answers 500"),
        ([(404, ""), (200, "[1]")], "it answers 404"),
        ([(200, "<html>")], "it answers no JSON"),
        ([(200, "[NaN]"), (200, "[1]")], "it predicts nan"),
        ([(204, "")], "no JSON"),
    ],
)
def test_an_endpoint_is_asked_until_it_answers(endpoint, answers, trouble):
    endpoint.answers = list(answers)
    check = SmokeCheck(
        url=endpoint.url,
        inputs={"inputs": [[1]]},
        headers={"Authorization": "Bearer t"},
        patience=1.5,
        version_field="v" if "{" in answers[0][1] else None,
    )
    found = smoke(check, "2")
    assert found is None if trouble is None else trouble in found
    body, headers = endpoint.asked[0]
    assert (body, headers["Authorization"]) == ({"inputs": [[1]]}, "Bearer t")


def test_nobody_listens():
    check = SmokeCheck(url="http://127.0.0.1:1/x", inputs=[1], patience=0)
    assert "does not answer" in (smoke(check, "2") or "")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "h/x", "http:///x"])
def test_an_address_that_is_none(url):
    with pytest.raises(PromotionError, match="no address of HTTP"):
        post_json(url, [1], headers={}, timeout=1)
