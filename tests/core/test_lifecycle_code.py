"""What a project's DAGs share, and what they copied."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.lifecycle.code import CodeFound, examine_code

DAG = "from airflow.sdk import DAG, task\n"
OURS = "from airflow_ai_provider.operators.quality import DataQualityGateOperator\n"
LOAD = '''
def load(path, months=3):
    """Read {0}."""
    rows = []
    for line in open(path):
        if line.startswith("{0}"):
            continue
        rows.append(line.split(","))
    rows.sort()
    return rows[:months]
'''


def dag(name: str = "shop", more: str = "") -> str:
    return f"{DAG}{OURS}with DAG('{name}'):\n    pass\n{more}"


def look(**sources: str) -> CodeFound:
    paths = {name.replace("__", "/") + ".py": text for name, text in sources.items()}
    return examine_code(paths, names={"shop", "shop.yaml"})


def test_dags_of_the_project_are_those_that_name_it_or_import_what_does() -> None:
    found = look(
        pilot=f"{DAG}from common import FILE\n@dag\ndef pilot(): ...\n",
        common="FILE = 'projects/shop.yaml'\n",
        other=dag("bakery"),
        named=dag("shop"),
        library="def helper(): ...\n",
    )
    assert found.dags == ("named.py", "pilot.py")


def test_dag_that_shares_nothing_is_named() -> None:
    found = look(alone=f"{DAG}with DAG('shop'): ...\n", good=dag())
    assert found.alone == ("alone.py",)


def test_dags_that_share_a_module_of_their_own_share_something() -> None:
    text = f"{DAG}import common\nwith DAG('shop'): ...\n"
    assert look(one=text, two=text, common="X = 1\n").alone == ()
    assert look(one=text, common="X = 1\n").alone == ("one.py",)  # nobody else uses it


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LOAD.format("#"), LOAD.format("#")),
        (LOAD.format("#"), LOAD.format("%")),  # other texts
        (LOAD.format("#"), LOAD.format("#").replace("load", "read").replace("rows", "lines")),
        (LOAD.format("#"), LOAD.format("#").replace("=3", "=12")),
    ],
)
def test_adapted_copy_is_found(first: str, second: str) -> None:
    found = look(one=dag(more=first), two=dag(more=second))
    (copy,) = found.copies
    assert copy.places[0] == "one.py:load"


def test_different_functions_are_no_copies() -> None:
    other = LOAD.format("#").replace("rows.sort()", "rows.reverse()")
    assert look(one=dag(more=LOAD.format("#")), two=dag(more=other)).copies == ()


def test_copies_of_others_are_not_the_project_s() -> None:
    text = dag("bakery", LOAD.format("#"))
    assert look(one=text, two=text, shop=dag()).copies == ()


def test_copy_of_a_shared_component_is_found() -> None:
    found = examine_code(
        {"one.py": dag(more=LOAD.format("#"))},
        names={"shop"},
        shared={"task_groups/data.py": LOAD.format("%")},
    )
    (copy,) = found.copies
    assert copy.places == ("airflow_ai_provider/task_groups/data.py:load", "one.py:load")


def test_file_that_is_no_python_is_named() -> None:
    assert look(broken="def (:\n", good=dag()).unreadable == ("broken.py",)


NAMES = st.text("abcdefgh", min_size=1, max_size=6).filter(lambda n: not keyword.iskeyword(n))


@settings(max_examples=40, deadline=None)
@given(names=st.lists(NAMES, min_size=4, max_size=4, unique=True), number=st.integers(0, 99))
def test_any_renaming_of_names_of_one_s_own_is_a_copy(names: list[str], number: int) -> None:
    text = LOAD.format("#")
    for old, new in zip(("rows", "path", "months", "line"), names, strict=True):
        text = text.replace(f"{old}", f"{new}_")
    text = text.replace("=3", f"={number}")
    found = look(one=dag(more=LOAD.format("#")), two=dag(more=text))
    assert len(found.copies) == 1
