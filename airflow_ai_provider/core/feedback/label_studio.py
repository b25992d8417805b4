"""Label Studio's annotations as feedback: its export, the tasks of its API, its webhooks.

An annotation is the same record whichever way it comes: its id is made of the project's and its
own, and only what all three ways say of it is kept. What it is about stands in the task's data:
``model_name``, ``model_version``, ``prediction_id`` and ``partition``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_ai_provider.core.feedback.source import SourceRecord

SOURCE = "label-studio"
_OF_TASK = ("model_name", "model_version", "prediction_id", "partition")
_EVENTS = frozenset({"ANNOTATION_CREATED", "ANNOTATION_UPDATED"})
_KINDS = {
    "rating": ("score", "rating"),
    "number": ("value", "number"),
    "choices": ("label", "choices"),
    "textarea": ("comment", "text"),
}


def of_task(
    task: Any, fields: Mapping[str, str] | None = None, *, place: str = ""
) -> Iterator[SourceRecord]:
    """Yield the annotations of a task as it stands in an export or in the API's answer.

    ``fields`` says which of our fields a control (its ``from_name``) means, where its kind does
    not: a rating is the score, a number the value, a choice the label, a text the comment.
    """
    where = f"{place}task {task.get('id') if isinstance(task, Mapping) else '?'}"
    annotations = task.get("annotations") if isinstance(task, Mapping) else None
    if not isinstance(annotations, list):
        yield SourceRecord(where[:100], task, None, "it is no task with annotations")
        return
    for annotation in annotations:
        yield _record(where, annotation, task, task.get("project"), fields or {})


def of_event(event: Any, fields: Mapping[str, str] | None = None) -> Iterator[SourceRecord]:
    """Yield the annotation of a webhook's payload; none for an event that brings none."""
    if not isinstance(event, Mapping) or not isinstance(event.get("action"), str):
        yield SourceRecord("event", event, None, "it is no event of Label Studio")
        return
    if event["action"] not in _EVENTS:
        return
    project = event.get("project")
    task = event.get("task")
    number = project.get("id") if isinstance(project, Mapping) else project
    if number is None and isinstance(task, Mapping):
        number = task.get("project")
    yield _record(event["action"], event.get("annotation"), task, number, fields or {})


def _record(
    where: str, annotation: Any, task: Any, project: Any, fields: Mapping[str, str]
) -> SourceRecord:
    raw = {"task": task, "annotation": annotation, "project": project}
    number = annotation.get("id") if isinstance(annotation, Mapping) else None
    place = f"{where}, annotation {number}"[:100]
    if number is None or not isinstance(task, Mapping):
        return SourceRecord(place, raw, None, "it has no task, or no annotation with an id")
    if annotation.get("was_cancelled"):
        return SourceRecord(place, raw, None, "the annotator skipped the task")
    data = task.get("data")
    of_data = data if isinstance(data, Mapping) else {}
    told, others = _told(annotation.get("result"), fields)
    person = annotation.get("completed_by")
    if isinstance(person, Mapping):  # an export may spell the person out
        person = person.get("id")
    document = {
        **{name: of_data[name] for name in _OF_TASK if of_data.get(name) is not None},
        **told,
        "feedback_id": f"{SOURCE}/{project}/{number}",
        "observed_at": annotation.get("updated_at") or annotation.get("created_at"),
        "source": SOURCE if project is None else f"{SOURCE}/{project}",
        "source_kind": "person",
        "attributes": {
            **others,
            "task": task.get("id"),
            "person": None if person is None else str(person),
        },
    }
    return SourceRecord(place, raw, document)


def _told(result: Any, fields: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the controls say of our fields, and what else they say."""
    told: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for item in result if isinstance(result, list) else ():
        value = item.get("value") if isinstance(item, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        kind, control = str(item.get("type")), str(item.get("from_name"))
        ours, key = _KINDS.get(kind, (None, kind))
        ours = fields.get(control, ours)
        found = value.get(key)
        if isinstance(found, list) and kind == "textarea":
            found = "\n".join(map(str, found))
        elif isinstance(found, list) and len(found) == 1:
            found = found[0]
        if ours is None or ours in told or isinstance(found, (list, Mapping)):
            others[control] = found
        else:
            told[ours] = found
    return told, others
