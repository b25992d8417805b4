"""The model card tells what is on record, and no more."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.promotion.card import CardTexts
from airflow_ai_provider.core.promotion.histograms import step_histograms
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.pictures import pictures_of
from airflow_ai_provider.operators.model_card import ModelCardOperator
from airflow_ai_provider.services.promotion import judge
from airflow_ai_provider.services.promotion.carding import make_card
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

CRITERIA = [
    {"kind": "threshold", "metric": "roc_auc", "min": 0.5},
    {"kind": "worst_slice", "slice": "carrier", "metric": "accuracy", "min": 0.5},
    {"name": "even", "kind": "slice_spread", "slice": "carrier", "metric": "accuracy", "max": 1},
    {"name": "fair", "kind": "slice_gap", "slice": "carrier", "max": 0.5},
]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'airflow_ai.db'}"


@pytest.fixture
def ledger(url):
    return Ledger(Store.open(url))


@pytest.fixture
def verdict(ledger, tmp_path):
    path = tmp_path / "p.parquet"
    duckdb.sql(f"""
        COPY (SELECT (i % 2)::INT AS label, 0.2 + 0.6 * (i % 2) AS score,
                     ['AA', 'B6'][1 + i % 2] AS carrier FROM range(200) t(i)) TO '{path}'""")
    evidence = {
        "model_name": "delays",
        "version": "7",
        "predictions": str(path),
        "slices": ["carrier"],
        "data": {"name": "flights/2013-03", "own": True},
        "training": {"partitions": ["flights/2013-01", "flights/2013-02"]},
        "costs": {"p95_ms": 12.0},
        "measured": {"loads": True, "importance": {"distance": 0.2, "hour <b>": 0.1}},
    }
    found = judge(evidence, CRITERIA, ledger=ledger, decided_by="test")
    return found.result(ledger.append(found.draft))


def approval(ledger, evidence_hash, comment="only | for departures"):
    said = {"evidence_hash": evidence_hash, "comment": comment}
    draft = GateDraft(
        kind=GateKind.APPROVAL,
        subject="mlflow://delays/7",
        verdict=Verdict.PASS,
        evidence=said,
        decided_by="ann",
    )
    return ledger.append(draft).id


def section(text, title):
    return text.partition(f"## {title}\n\n")[2].partition("\n\n## ")[0]


def test_the_card_tells_what_was_judged(ledger, verdict):
    texts = CardTexts(purpose="Warn of late arrivals.", limits="Not for other airports.")
    record = approval(ledger, verdict["evidence_hash"])
    card = make_card(verdict, texts=texts, ledger=ledger, approvals=[record])
    assert card.text.startswith("# delays, version 7\n")
    assert section(card.text, "Purpose") == "Warn of late arrivals."
    assert section(card.text, "Ethics") == "Not stated."
    assert "- Trained on, partitions: flights/2013-01, flights/2013-02" in card.text
    assert "| roc_auc | 1 |" in section(card.text, "Metrics")
    assert "| carrier accuracy worst_slice | pass |" in section(card.text, "Slices")
    assert "| fair | pass |" in section(card.text, "Slices")
    assert "| even | pass |" in section(card.text, "Slices")
    assert "| rows | 200 |" in section(card.text, "Metrics")
    assert "worst_slice" not in section(card.text, "Criteria")
    assert "- p95_ms: 12" in section(card.text, "Costs")
    assert "| ann | pass |" in section(card.text, "Approvals")
    assert "| only \\| for departures |" in section(card.text, "Approvals")
    assert verdict["evidence_hash"] in section(card.text, "Evidence")
    pictures = {"calibration.svg", "confusion.svg", "importance.svg"}
    assert set(card.files) == {"card.md", "card.html", *pictures}
    for name, svg in card.pictures.items():
        assert f"]({name}.svg)" in card.text
        assert svg in card.page
        assert ET.fromstring(svg).tag.endswith("svg")


def test_the_page_says_what_the_text_says_and_loads_nothing(ledger, verdict):
    texts = CardTexts(purpose="Warn <b>early</b>.", ethics="- Nobody is ranked\n- Asked: crews")
    record = approval(ledger, verdict["evidence_hash"])
    page = make_card(verdict, texts=texts, ledger=ledger, approvals=[record]).page
    assert "<p>Warn &lt;b&gt;early&lt;/b&gt;.</p>" in page
    assert "<ul><li>Nobody is ranked</li><li>Asked: crews</li></ul>" in page
    assert '<h2>Limits</h2><p class="faint">Not stated.</p>' in page
    assert '<td>ann</td><td class="pass">pass</td>' in page
    assert "hour &lt;b&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)


def test_what_training_logged_of_a_network_is_in_it(ledger, verdict):
    def step(number, spread):
        weights = {"dense/kernel": np.linspace(-spread, spread, 500), "dense/bias": np.zeros(3)}
        gradients = {"dense/kernel": np.array([0.0, np.nan, 1e-9])}
        return step_histograms(weights, step=number, gradients=gradients)

    asked = []

    def histograms(run_id):
        asked.append(run_id)
        return [step(0, 0.1), step(400, 0.5)]

    of_run = {**verdict["evidence"], "run_id": "r1"}
    found = judge(of_run, CRITERIA, ledger=ledger, decided_by="test")
    judged = found.result(ledger.append(found.draft))
    card = make_card(judged, texts=CardTexts(), ledger=ledger, histograms=histograms)
    assert asked == ["r1"]
    assert {"weights", "gradients"} < set(card.pictures)
    assert "- Histograms: 3 arrays, steps 0 to 400" in section(card.text, "Training")
    assert "- Histograms, no numbers: 1 values" in section(card.text, "Training")
    assert "1 are no number" in card.pictures["gradients"]
    assert "bars: step 400; line: step 0" in card.pictures["weights"]
    none = make_card(judged, texts=CardTexts(), ledger=ledger, histograms=lambda _: [])
    assert not {"weights", "gradients"} & set(none.pictures)


def test_it_is_made_of_what_is_on_record(ledger, verdict, tmp_path):
    other = approval(ledger, "0" * 64)
    with pytest.raises(EvidenceError, match="was given on other evidence"):
        make_card(verdict, texts=CardTexts(), ledger=ledger, approvals=[other])
    changed = json.loads(json.dumps(verdict))
    changed["evidence"]["costs"]["p95_ms"] = 1.0
    with pytest.raises(EvidenceError, match="is not what gate record"):
        make_card(changed, texts=CardTexts(), ledger=ledger)
    with pytest.raises(EvidenceError, match="There is no model record nowhere"):
        make_card({**verdict, "record": "nowhere"}, texts=CardTexts(), ledger=ledger)
    for nothing in (None, {}, "x"):
        with pytest.raises(EvidenceError, match="made of a model gate's result"):
            make_card(nothing, texts=CardTexts(), ledger=ledger)
    duckdb.sql(f"COPY (SELECT 1 AS label, 1 AS score) TO '{tmp_path / 'p.parquet'}'")
    with pytest.raises(EvidenceError, match="changed since they were judged"):
        make_card(verdict, texts=CardTexts(), ledger=ledger)


def test_the_operator_refuses_what_is_no_verdict(verdict, url, tmp_path, monkeypatch):
    connection = {"conn_type": "ai_store", "extra": {"url": url}}
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", json.dumps(connection))
    monkeypatch.setenv(
        "AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": "http://x.test"})
    )
    operator = ModelCardOperator(task_id="card", verdict={}, ethics="None known.", approvals="")
    with pytest.raises(AirflowFailException, match="made of a model gate's result"):
        operator.execute({"ti": SimpleNamespace()})


def test_a_card_that_nobody_could_read_is_refused(verdict, url, tmp_path, monkeypatch):
    connection = {"conn_type": "ai_store", "extra": {"url": url}}
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow"}))
    operator = ModelCardOperator(task_id="card", verdict=verdict)
    with pytest.raises(AirflowFailException, match="no run that the card could be kept with"):
        operator.execute({"ti": SimpleNamespace()})


# --- pictures ----------------------------------------------------------------------------------


def test_probabilities_have_calibration_and_confusion():
    random = np.random.default_rng(0)
    found = pictures_of(random.integers(0, 2, 100), random.random(100))
    assert set(found) == {"calibration", "confusion"}


def test_classes_have_confusion_alone():
    label = np.arange(50) % 5
    found = pictures_of(label, np.where(label == 3, 4, label))
    assert set(found) == {"confusion"}
    assert ">10<" in found["confusion"]


def test_numbers_have_residuals():
    label = np.linspace(0, 9.5, 100)
    assert set(pictures_of(label, label + 0.25)) == {"residuals"}


def test_rows_without_values_have_no_picture():
    with pytest.raises(NotMeasurableError):
        pictures_of(np.array([]), np.array([]))
    with pytest.raises(NotMeasurableError):
        pictures_of(np.array([1.0]), np.array([np.nan]))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=40),
    st.dictionaries(st.text(max_size=8), st.floats(-1, 1), max_size=4),
)
def test_whatever_the_numbers_a_picture_is_well_formed(rows, importance):
    named = {name: value for name, value in importance.items() if name.isprintable()}
    label, score = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for svg in pictures_of(label, score, named).values():
        ET.fromstring(svg)
        assert "nan" not in svg
