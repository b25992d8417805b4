"""Where the store is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import StoreError, StoreNotFoundError
from airflow_ai_provider.services import store as stores


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
        (
            '{"conn_type": "ai_store", "host": "h", "login": "u", "password": "p@:/", '
            '"schema": "d", "port": 5433}',
            "postgresql+psycopg://u:p%40%3A%2F@h:5433/d",
        ),
        ('{"conn_type": "ai_store", "extra": {"url": "sqlite:////x.db"}}', "sqlite:////x.db"),
        ('{"extra": "{\\"url\\": \\"sqlite:////x.db\\"}"}', "sqlite:////x.db"),
        ("ai-store://u:p%40@h:5433/d", "postgresql+psycopg://u:p%40@h:5433/d"),
        ("ai_store:///?url=sqlite%3A%2F%2F%2F%2Fx.db", "sqlite:////x.db"),
    ],
)
def test_every_form_of_the_connection_is_understood(text: str, url: str) -> None:
    assert stores.address_of_connection_text(text).url == url


@pytest.mark.parametrize("text", ["{", '{"conn_type": "ai_store"}', "ai-store://"])
def test_a_form_without_meaning_is_named(text: str) -> None:
    with pytest.raises(StoreError):
        stores.address_of_connection_text(text)


@pytest.mark.parametrize(
    "said",
    [
        {"AWS_REGION": "eu-west-1", "TIMEOUT": 5, "AWS_ALLOW_HTTP": True},
        '{"AWS_REGION": "eu-west-1", "TIMEOUT": 5, "AWS_ALLOW_HTTP": true}',
    ],
)
def test_options_of_delta_tables_are_texts(said: Any) -> None:
    extra = {"url": "sqlite:////x.db", "delta_options": said}
    found = stores.address_of_connection_text(json.dumps({"extra": extra}))
    expected = {"AWS_REGION": "eu-west-1", "TIMEOUT": "5", "AWS_ALLOW_HTTP": "true"}
    assert found.delta_options == expected
    assert "eu-west-1" not in repr(found)


@pytest.mark.parametrize("said", [None, "", {}, "{}"])
def test_no_options_of_delta_tables_are_none(said: Any) -> None:
    extra = {"url": "sqlite:////x.db", "delta_options": said}
    found = stores.address_of_connection_text(json.dumps({"extra": extra}))
    assert found == stores.StoreAddress(url="sqlite:////x.db")


@pytest.mark.parametrize("said", ["hidden", "[1]", ["hidden"], {"KEY": ["hidden"]}])
def test_options_that_are_none_are_named_and_not_told(said: Any) -> None:
    extra = {"url": "sqlite:////x.db", "delta_options": said}
    with pytest.raises(StoreError, match="delta_options in the extra field") as raised:
        stores.address_of_connection_text(json.dumps({"extra": extra}))
    assert "hidden" not in f"{raised.value} {raised.value.__cause__}"


PART = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


@given(user=PART, password=PART, database=st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True))
def test_odd_characters_survive(user: str, password: str, database: str) -> None:
    import sqlalchemy as sa

    said = {"host": "h", "login": user, "password": password, "schema": database}
    url = sa.make_url(stores.address_of_connection_text(json.dumps(said)).url)
    assert (url.username, url.password, url.database) == (user, password, database)


def test_the_order_in_which_the_store_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (stores.CONNECTION_VARIABLE, stores.HANDED_VARIABLE, "AIRFLOW_CTX_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", "/srv/airflow")
    assert stores.resolve().url == "sqlite:////srv/airflow/airflow_ai.db"
    stores.hand_to_process("sqlite:////handed.db")
    assert stores.resolve().url == "sqlite:////handed.db"
    monkeypatch.setenv(stores.CONNECTION_VARIABLE, "sqlite:////said.db")
    assert stores.resolve().url == "sqlite:////said.db"
    assert stores.resolve("sqlite:////mine.db").url == "sqlite:////mine.db"
    monkeypatch.delenv(stores.CONNECTION_VARIABLE)
    monkeypatch.delenv(stores.HANDED_VARIABLE)
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "train")
    with pytest.raises(StoreNotFoundError, match="was told of no store"):
        stores.resolve()
