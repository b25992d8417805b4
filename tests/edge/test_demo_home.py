"""The demo's folder is ours or refused, clean at the start, and its environment stays there."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.airflow_home import (
    MARKER,
    USERS,
    Home,
    claimed,
    environment,
    find_dags,
    write_passwords,
)


def home_in(path: Path) -> Home:
    return Home(path=path, airflow_port=18080, mlflow_port=15000, dags=path / "dags")


def test_temporary_folder_is_private_and_goes() -> None:
    with claimed(None) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "airflow.db").touch()
    assert not path.exists()


def test_temporary_folder_goes_when_the_run_fails() -> None:
    with pytest.raises(KeyboardInterrupt), claimed(None) as path:
        raise KeyboardInterrupt
    assert not path.exists()


def test_named_folder_is_made_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with claimed(str(folder)) as path:
        (path / "airflow.db").touch()
    assert (folder / "airflow.db").exists()


def test_folder_of_somebody_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "airflow.db").write_text("precious")
    with pytest.raises(DemoError, match="no earlier demo made"), claimed(str(tmp_path)):
        raise AssertionError
    assert [entry.name for entry in tmp_path.iterdir()] == ["airflow.db"]


def test_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="cannot be the demo's folder"):
        claimed(str(tmp_path / "file")).__enter__()


def test_second_run_starts_clean_and_keeps_what_it_did_not_make(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with claimed(str(folder)) as path:
        for name in ("airflow.db-wal", "mlflow.db", "airflow_ai.db.lock", "report.html"):
            (path / name).touch()
        (path / "logs" / "deep").mkdir(parents=True)
        (path / "mlruns").symlink_to(outside)
        (path / "notes.txt").touch()
    with claimed(str(folder)) as path:
        assert sorted(entry.name for entry in path.iterdir()) == [MARKER, "notes.txt"]
    assert (outside / "kept").exists()


def test_two_demos_cannot_share_a_folder(tmp_path: Path) -> None:
    with claimed(str(tmp_path / "demo")) as path:
        (path / "airflow.db").touch()
        with pytest.raises(DemoError, match="Another demo runs"):
            claimed(str(tmp_path / "demo")).__enter__()
        assert (path / "airflow.db").exists()


def test_passwords_differ_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    passwords = write_passwords(home)
    assert set(passwords) == set(USERS)
    assert len(set(passwords.values())) == len(USERS)
    assert json.loads(home.passwords.read_text()) == passwords
    assert stat.S_IMODE(home.passwords.stat().st_mode) == 0o600


def test_environment_drops_what_would_lead_elsewhere(tmp_path: Path) -> None:
    inherited = {
        "AIRFLOW__CORE__DAGS_FOLDER": "/elsewhere",
        "AIRFLOW_CONFIG": "/elsewhere/airflow.cfg",
        "AIRFLOW_CONN_AI_STORE_DEFAULT": "postgresql://elsewhere",
        "AIRFLOW_AI_STORE_URL": "sqlite:////elsewhere.db",
        "MLFLOW_TRACKING_USERNAME": "somebody",
        "_AIRFLOW_WWW_USER_CREATE": "1",
        "HTTP_PROXY": "http://proxy:3128",
        "NO_PROXY": "intranet",
        "PATH": "/usr/bin",
    }
    env = environment(home_in(tmp_path), inherited)
    assert env["PATH"] == "/usr/bin"
    assert env["AIRFLOW_HOME"] == str(tmp_path)
    assert env["NO_PROXY"] == env["no_proxy"] == "intranet,127.0.0.1"
    assert "elsewhere" not in " ".join(env.values())
    assert "MLFLOW_TRACKING_USERNAME" not in env
    assert "_AIRFLOW_WWW_USER_CREATE" not in env


def test_environment_listens_on_this_machine_only_and_has_own_secrets(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    first, second = environment(home, {}), environment(home, {})
    assert first["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert first["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "sponsor:user,ml:op,viewer:viewer"
    assert json.loads(first["AIRFLOW_CONN_MLFLOW_DEFAULT"]) == {
        "conn_type": "mlflow",
        "host": "http://127.0.0.1:15000",
    }
    for secret in ("API_AUTH__JWT_SECRET", "API__SECRET_KEY", "CORE__FERNET_KEY"):
        assert first[f"AIRFLOW__{secret}"] != second[f"AIRFLOW__{secret}"]


def test_dags_are_those_of_the_checkout() -> None:
    assert find_dags().name in {"dags", "templates"}


def test_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(DemoError, match="cannot be the demo's folder"):
        claimed("/proc/airflow-ai-demo").__enter__()
