"""The digest of a model's files: of names and bytes, in no order, without the loader's note."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.adapters.model_tree import digest_of_tree
from airflow_ai_provider.core.promotion.artifacts import model_files, tree_digest

NAMES = st.text("ab.-", min_size=1, max_size=3).filter(lambda name: set(name) != {"."})
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=3), min_size=1, max_size=6)


def digests(files):
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


@given(FILES)
def test_the_order_of_the_listing_is_nothing(files):
    backwards = dict(reversed(digests(files).items()))
    assert tree_digest(backwards) == tree_digest(digests(files))
    assert sorted(model_files(files)) == sorted(files)


@given(FILES, FILES)
def test_two_models_have_one_digest_only_if_they_are_the_same(one, other):
    assert (tree_digest(digests(one)) == tree_digest(digests(other))) == (one == other)


@given(FILES)
def test_the_loaders_note_is_no_part_of_it(files):
    with_note = {**files, "registered_model_meta": b"model_name: m\n"}
    assert tree_digest(digests(with_note)) == tree_digest(digests(files))
    below = {**files, "a/registered_model_meta": b""}
    assert tree_digest(digests(below)) != tree_digest(digests(files))


def test_a_folder_has_the_digest_of_its_listing(tmp_path):
    files = {"MLmodel": b"x", "data/a.txt": b"1", "data/a/b": b"22", "registered_model_meta": b"m"}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert digest_of_tree(tmp_path) == (4, tree_digest(digests(files)))
