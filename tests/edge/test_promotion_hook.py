"""The hook: an address, secrets, and what it tells."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.errors import (
    RegistryError,
)
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from tests.edge.promotion_scene import connection


def settings(monkeypatch, **fields):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(**fields))
    return ModelRegistryHook().get_settings()


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "http://h:5000"}, "http://h:5000"),
        ({"host": "sqlite:////a/mlflow.db"}, "sqlite:////a/mlflow.db"),
        ({"host": "h", "port": 5000}, "http://h:5000"),
        ({"host": "h", "schema": "https"}, "https://h"),
        ({"host": "databricks"}, "databricks"),
    ],
)
def test_a_connection_is_an_address(monkeypatch, fields, uri):
    assert settings(monkeypatch, **fields).tracking_uri == uri


def test_a_connection_has_secrets_and_extras(monkeypatch):
    extra = {"token": "t", "registry_uri": "http://r", "verify_tls": False, "timeout": "3"}
    found = settings(monkeypatch, host="https://h", login="ml", password="s", extra=extra)
    assert (found.username, found.password, found.token) == ("ml", "s", "t")
    assert (found.uri, found.verify_tls, found.timeout) == ("http://r", False, 3.0)
    assert found.environment()["MLFLOW_TRACKING_INSECURE_TLS"] == "true"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "names no host"),
        ({"host": "h", "extra": {"timeout": "soon"}}, "timeout 'soon'"),
        ({"host": "h", "extra": {"timeout": -1}}, "timeout -1"),
    ],
)
def test_a_connection_that_means_nothing(monkeypatch, fields, message):
    with pytest.raises(RegistryError, match=message):
        settings(monkeypatch, **fields)


def test_what_the_hook_tells(registry, ledger):
    hook = ModelRegistryHook()
    assert hook.version_at("flights", "production") is None
    registry.set_alias("flights", "production", "2")
    assert hook.version_at("flights", "production") == "2"
    assert hook.champion("flights")["run_id"] == "run2"
    (drift,) = hook.check_aliases("flights")
    assert drift["found"] == "2"


def test_the_hooks_test_button(registry, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    done, message = ModelRegistryHook().test_connection()
    assert not done
    assert "does not answer" in message
