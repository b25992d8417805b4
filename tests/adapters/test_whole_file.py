"""A file that others may read at any moment is the old one or the new one, never a part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from airflow_ai_provider.adapters.feedback_folder import is_finished_name
from airflow_ai_provider.adapters.whole_file import whole_file


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def test_what_was_written_takes_the_targets_place(target):
    target.write_text("old")
    with whole_file(target) as unfinished:
        unfinished.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_the_file_has_the_rights_of_any_new_file(target):
    plain = target.with_name("plain")
    plain.touch()
    with whole_file(target) as unfinished:
        unfinished.write_text("new")
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_else(target, error):
    target.write_text("old")
    with pytest.raises(type(error)), whole_file(target) as unfinished:
        unfinished.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_before_anything_was_written_is_told_as_it_is(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("missing", "file"):
        with (
            pytest.raises(OSError, match=r"report\.html") as told,
            whole_file(tmp_path / folder / "report.html") as unfinished,
        ):
            unfinished.write_text("new")
        assert told.value.filename == str(unfinished)


def test_a_folder_in_the_targets_place_is_told_and_nothing_is_left(target):
    target.mkdir()
    with pytest.raises(OSError, match=r"report\.html"), whole_file(target) as unfinished:
        unfinished.write_text("new")
    assert list(target.parent.iterdir()) == [target]


def test_nothing_written_is_no_file(target):
    with pytest.raises(FileNotFoundError), whole_file(target):
        pass
    assert not target.exists()


def test_of_two_writers_at_once_the_last_one_wins_with_a_whole_file(target):
    both_wrote, first_is_done = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def first() -> Path:
        with whole_file(target) as unfinished:
            unfinished.write_text("a" * 1000)
            both_wrote.wait()
        first_is_done.wait()
        return unfinished

    def last() -> Path:
        with whole_file(target) as unfinished:
            unfinished.write_text("b" * 1000)
            both_wrote.wait()
            first_is_done.wait()
            assert target.read_text() == "a" * 1000
        return unfinished

    with ThreadPoolExecutor(2) as pool:
        paths = [done.result() for done in [pool.submit(first), pool.submit(last)]]
    assert len(set(paths)) == 2
    assert target.read_text() == "b" * 1000
    assert list(target.parent.iterdir()) == [target]


def test_who_watches_the_folder_passes_over_the_unfinished_file(target):
    with whole_file(target) as unfinished:
        unfinished.write_text("new")
        assert not is_finished_name(unfinished.name)
    assert is_finished_name(target.name)
