"""Refused: a question that cannot be asked, an answer that does not hold."""

from __future__ import annotations

from tests.edge.guarded_scene import Act, Scene
from tests.edge.refusal_cases import refusal

APPROVAL = "core/promotion/approval.py"
ANSWER = "operators/promotion.py:execute_complete#1"
QUESTION = "operators/promotion.py:_request#2"


@refusal(f"{APPROVAL}:answered#1", ANSWER, says="changed since it was shown")
def answer_on_what_changed_meanwhile(scene: Scene) -> Act:
    shown = scene.fingerprint()
    return scene.answering(asked=shown, evidence={"model_name": scene.name, "version": "2"})


@refusal(f"{APPROVAL}:answered#2", ANSWER, says="names nobody who gave it")
def answer_of_nobody(scene: Scene) -> Act:
    return scene.answering(by=None)


@refusal(f"{APPROVAL}:answered#3", ANSWER, says="ml submitted .* and may not approve it")
def answer_of_who_submitted(scene: Scene) -> Act:
    return scene.answering(by="ml")


@refusal(f"{APPROVAL}:answered#4", ANSWER, says="viewer is not among those asked")
def answer_of_a_stranger(scene: Scene) -> Act:
    return scene.answering(by="viewer")


@refusal(f"{APPROVAL}:_comment#1", ANSWER, says="a text of at most 2000 characters")
def answer_with_a_book(scene: Scene) -> Act:
    return scene.answering(comment="x" * 2001)


@refusal(f"{APPROVAL}:approval_request#1", QUESTION, says="must be a dict, not str")
def question_about_a_text(scene: Scene) -> Act:
    return scene.asking(evidence="good")


@refusal(f"{APPROVAL}:approval_request#2", QUESTION, says="does not fit its own hash")
def question_about_evidence_that_was_changed(scene: Scene) -> Act:
    return scene.asking(evidence={"evidence_hash": "x", "evidence": {}})


@refusal(f"{APPROVAL}:approval_request#3", QUESTION, says="but ml, who submitted it")
def question_to_who_submitted(scene: Scene) -> Act:
    return scene.asking(assigned_users="ml")


@refusal("operators/promotion.py:_request#1", says="no default answer")
def question_with_a_default(scene: Scene) -> Act:
    return scene.asking(defaults="Approve")


@refusal("operators/promotion.py:_submitter#1", QUESTION, says="nobody knows who submitted")
def question_that_nobody_submitted(scene: Scene) -> Act:
    return scene.asking(user=None)
