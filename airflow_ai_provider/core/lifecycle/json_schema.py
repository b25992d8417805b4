"""The JSON Schema of the project file, for editors.

It says what each field alone may be; what fields say together only ``airflow-ai project check``
tells.
"""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.lifecycle.project import Project

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def project_schema() -> dict[str, Any]:
    """Return the schema."""
    schema = Project.model_json_schema()
    person = schema["$defs"]["Person"]
    named = {"type": "string", "description": "the person's user name in Airflow"}
    schema["$defs"]["Person"] = {
        "title": "Person",
        "description": person["description"],
        "anyOf": [named, {k: v for k, v in person.items() if k not in {"title", "description"}}],
    }
    return {"$schema": DIALECT, "title": "Project file of airflow-ai-provider", **schema}
