"""Criteria on what the store knows: opinions, live metrics, shadow answers, live models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from airflow_ai_provider.core.errors import CriteriaError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.services.feedback import FeedbackService, write_predictions
from airflow_ai_provider.services.promotion import StoreLife, challengers, judge, mark_challenger
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import FakeRegistry, memory_store


def told(store, tmp_path, records):
    path = tmp_path / "feedback.jsonl"
    lines = [
        {"feedback_id": f"f{n}", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z", **record}
        for n, record in enumerate(records)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = FeedbackService(store).ingest(path)
    assert counts.quarantined == 0


def judged(store, criterion, life=None, project=None, **evidence):
    said = {"model_name": "m", "version": "2", **evidence}
    found = judge(
        said,
        [criterion],
        ledger=Ledger(store),
        decided_by="test",
        life=life or StoreLife(store),
        project=project,
    )
    return found.criteria[0]


SCORED = {"kind": "human_score", "min": 3.5, "min_answers": 4}


def test_people_s_scores_of_this_version_count(store, tmp_path):
    scores = [5, 4, 4, 4]
    told(
        store,
        tmp_path,
        [
            *({"model_version": "2", "score": score} for score in scores),
            {"model_version": "1", "score": 1},
            {"model_version": "2", "score": 1, "source_kind": "system"},
            {"model_version": "2", "label": 1},
        ],
    )
    found = judged(store, SCORED)
    assert (found.verdict, found.observed) == (Verdict.PASS, pytest.approx(4.25))
    half = 3.182 * np.std(scores, ddof=1) / 2
    lower = judged(store, {**SCORED, "bound": "lower"})
    assert lower.observed == pytest.approx(4.25 - half)
    assert f"4.25 of 5 [{4.25 - half:.2f}, {4.25 + half:.2f}] in 4 answers" in lower.sentence
    assert judged(store, {**SCORED, "min": 4.3}).verdict is Verdict.FAIL
    few = judged(store, {**SCORED, "min_answers": 5})
    assert (few.verdict, few.observed) == (Verdict.FAIL, None)
    assert "4 people's answers are there, at least 5" in few.sentence


def test_a_revised_score_counts_once(store, tmp_path):
    told(store, tmp_path, [{"model_version": "2", "score": 1}])
    told(store, tmp_path, [{"model_version": "2", "score": 5}])
    found = judged(store, {**SCORED, "min_answers": 1})
    assert found.observed == 5
    again = judged(store, {**SCORED, "min_answers": 1, "bound": "lower"})
    assert again.verdict is Verdict.FAIL, "one answer has no lower end"


def test_without_version_or_store_nobody_can_say(store):
    found = judged(store, SCORED, version=None)
    assert "has no version in the registry yet" in found.sentence
    bare = judge(
        {"model_name": "m", "version": "2"},
        [SCORED, {"kind": "live_models", "max": 9}, {"kind": "feedback_loop", "min": 0}],
        ledger=Ledger(store),
        decided_by="test",
    )
    assert {c.verdict for c in bare.criteria} == {Verdict.FAIL}
    assert all("no store was given" in c.sentence for c in bare.criteria)


def test_feedback_must_come_in(store, tmp_path):
    alive = {"kind": "feedback_loop", "min": 2}
    assert judged(store, alive).verdict is Verdict.FAIL
    told(store, tmp_path, [{"label": 1}, {"label": 0}, {"label": 0, "model_name": "other"}])
    found = judged(store, alive)
    assert (found.verdict, found.observed) == (Verdict.PASS, 2)


def test_live_models_are_counted_with_this_one(store):
    ledger = Ledger(store)
    for model, environment, project in (
        ("a", "production", "p"),
        ("a", "production", "p"),
        ("b", "production", "q"),
        ("c", "staging", "p"),
    ):
        put(ledger, model, environment, project)
    limit = {"kind": "live_models", "max": 2}
    assert judged(store, limit).observed == 3
    assert judged(store, limit).verdict is Verdict.FAIL
    found = judged(store, limit, project="p")
    assert (found.verdict, found.observed) == (Verdict.PASS, 2)
    assert "2 models are live (a, m)" in found.sentence
    assert judged(store, limit, project="p", model_name="a").observed == 1
    put(ledger, "d", "production", None)
    assert judged(store, limit, project="p").observed == 3, "it might be of this project"
    put(ledger, "a", "production", "p", to=None, kind=GateKind.ROLLBACK)
    assert "2 models are live (d, m)" in judged(store, limit, project="p").sentence
    put(ledger, "a", "production", "p", verdict=Verdict.FAIL)
    assert judged(store, limit, project="p").observed == 2, "a move that was refused"


def put(ledger, model, environment, project, *, to="1", kind=GateKind.PROMOTION, **draft):
    moved = {"model_name": model, "environment": environment, "project": project, "to": to}
    said = {"verdict": Verdict.PASS, **draft}
    ledger.append(GateDraft(kind=kind, subject=f"mlflow://{model}/1", evidence=moved, **said))


def test_what_the_store_told_is_evidence_of_its_own(lived, tmp_path):
    store, life = lived, life_of(lived, tmp_path)
    scores = [{"feedback_id": f"s{s}", "model_version": "2", "score": s} for s in (4, 5)]
    told(store, tmp_path, scores)
    live_models = {"kind": "live_models", "max": 9}
    criteria = [
        {**SCORED, "min_answers": 2},
        SHADOW,
        live_models,
        {"kind": "feedback_loop", "min": 1},
    ]

    def judgement():
        evidence = {"model_name": "m", "version": "2"}
        return judge(evidence, criteria, ledger=Ledger(store), decided_by="test", life=life)

    found = judgement()
    kept = found.evidence.content["life"]
    assert kept["opinions"] == {"answers": 2, "mean": 4.5, "deviation": pytest.approx(0.5**0.5)}
    assert (kept["champion"], kept["live_models"]) == ("1", [])
    assert (kept["shadow"]["reference"], kept["shadow"]["rows"]) == ("1", 1500)
    assert kept["feedback"] == {"30 days": 1502}
    assert found.draft.evidence["life"] == kept
    assert judgement().evidence_hash == found.evidence_hash
    told(store, tmp_path, [{**scores[0], "score": 1}])
    assert judgement().evidence_hash != found.evidence_hash, "people changed their minds"


# --- live answers ------------------------------------------------------------------------------


@pytest.fixture
def lived(tmp_path):
    """A store in which versions 1 and 2 of a model answered the same, version 2 better."""
    store = memory_store()
    random = np.random.default_rng(0)
    chance = random.random(2000)
    label = (random.random(2000) < chance).astype(int)
    for version, score in (("1", np.full(2000, 0.5)), ("2", chance)):
        write_predictions(
            str(tmp_path / "log"),
            {
                "prediction_id": [f"p{n}" for n in range(2000)],
                "score": score,
                "day": [f"2013-06-{1 + n % 30:02d}" for n in range(2000)],
            },
            model_name="m",
            version=version,
            partition="2013-06",
        )
    records = [
        {"prediction_id": f"p{n}", "label": int(label[n]), "source_kind": "outcome"}
        for n in range(1500)
    ]
    told(store, tmp_path, records)
    return store


def life_of(store, tmp_path, champion="1"):
    registry = FakeRegistry()
    registry.create_model("m")
    for _ in range(2):
        registry.create_version("m", model_uri="x", run_id=None, tags={})
    if champion:
        registry.set_alias("m", "production", champion)
    return StoreLife(store, registry=lambda: registry, predictions=str(tmp_path / "log"))


SHADOW = {"kind": "shadow", "metric": "log_loss", "max_upper": 0.0, "resamples": 200}


def test_a_challenger_is_compared_on_the_same_feedback(lived, tmp_path):
    found = judged(lived, SHADOW, life_of(lived, tmp_path))
    assert found.verdict is Verdict.PASS, found.sentence
    assert -0.3 < found.observed < -0.1
    assert "the champion (version 1) on the same 1,500 live rows" in found.sentence
    assert "over 30 days" in found.sentence
    worse = judged(lived, SHADOW, life_of(lived, tmp_path, champion="2"), version="1")
    assert worse.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("criterion", "champion", "version", "reason"),
    [
        ({**SHADOW, "min_rows": 1501}, "1", "2", "1,500 rows were answered by both"),
        (SHADOW, "1", "7", "0 rows were answered by both"),
        (SHADOW, "2", "2", "version 2 is the champion itself"),
        (SHADOW, None, "2", "no champion answers"),
        (SHADOW, "1", None, "has no version in the registry yet"),
    ],
)
def test_what_did_not_answer_beside_the_champion(
    lived, tmp_path, criterion, champion, version, reason
):
    found = judged(lived, criterion, life_of(lived, tmp_path, champion), version=version)
    assert (found.verdict, found.observed) == (Verdict.FAIL, None)
    assert reason in found.sentence


def test_challengers_are_marked_and_never_the_champion(lived, tmp_path):
    registry = life_of(lived, tmp_path).registry()
    assert challengers("m", registry=registry) == []
    for version in ("1", "2"):
        mark_challenger("m", version, registry=registry)
    assert challengers("m", registry=registry) == ["2"]
    mark_challenger("m", "2", registry=registry, is_one=False)
    assert challengers("m", registry=registry) == []
    assert challengers("nobody", registry=registry) == []


def test_the_first_model_has_no_champion_to_answer_beside(lived, tmp_path):
    said = {**SHADOW, "no_reference": "pass"}
    assert judged(lived, said, life_of(lived, tmp_path, None)).verdict is Verdict.PASS


def test_a_log_that_is_not_there_is_no_comparison(lived, tmp_path):
    life = life_of(lived, tmp_path)
    life.predictions = str(tmp_path / "nowhere" / "*.parquet")
    assert "cannot be read" in judged(lived, SHADOW, life).sentence
    life.predictions = None
    assert "no prediction log is named" in judged(lived, SHADOW, life).sentence


def test_live_metrics_are_those_of_the_newest_partition(lived, tmp_path):
    service = FeedbackService(lived)
    service.metrics(model_name="m", predictions=str(tmp_path / "log"), partition="2013-06")
    live = {"kind": "live_metric", "metric": "roc_auc", "min": 0.7, "min_rows": 1500}
    found = judged(lived, live)
    assert found.verdict is Verdict.PASS
    assert "on 1,500 outcomes of 2013-06" in found.sentence
    assert judged(lived, live, version="1").observed == 0.5
    assert "1,500 outcomes came in" in judged(lived, {**live, "min_rows": 1501}).sentence
    assert "nobody measured roc_auc of version 9 live" in judged(lived, live, version="9").sentence
    gap = {"kind": "live_metric", "metric": "gap", "max": 0.05}
    assert 0 <= judged(lived, gap).observed <= 0.05


# --- what goes with every judgement -------------------------------------------------------------


def test_a_model_that_does_not_load_fails_unasked():
    measured = {"loads": False, "failure": "while loading, it was not done within 2 s"}
    found = judge(
        {"model_name": "m", "measured": measured},
        [{"kind": "live_models", "max": 9}],
        ledger=Ledger(memory_store()),
        decided_by="test",
        life=StoreLife(memory_store()),
    )
    assert [c.name for c in found.failed] == ["loads"]
    asked = judge(
        {"model_name": "m", "measured": measured},
        [{"kind": "loads", "severity": "fail", "name": "mine"}],
        ledger=Ledger(memory_store()),
        decided_by="test",
    )
    assert [c.name for c in asked.failed] == ["mine"]


def test_functions_are_found_by_name_when_the_gate_judges():
    store = memory_store()
    custom = {"kind": "custom", "call": "tests.toy_criteria:answers", "min": 40}
    assert judged(store, custom).observed == 42.0
    with pytest.raises(CriteriaError, match="which is not found: module"):
        judged(store, {**custom, "call": "tests.toy_criteria:nothing"})
    with pytest.raises(CriteriaError, match="which is not found: No module"):
        judged(store, {**custom, "call": "tests.no_such:answers"})
    with pytest.raises(CriteriaError, match="is no function"):
        judged(store, {**custom, "call": "tests.toy_criteria:LIMIT"})
