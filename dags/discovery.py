"""Discovery: find out what the project is for, what there is, and what to try first.

Each milestone measures what a machine can find out, asks the person whose role it is in a form
(see *Required actions*), and is done when its deliverables are there. The gate at the end asks for
the exit criteria of the phase; when they are met, the pilots start.

To use it for a project of your own, copy `projects/flight_delays.yaml`, and trigger this DAG with
your file.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_ai_provider.task_groups.discovery import discovery

with DAG(
    "discovery",
    schedule=None,
    doc_md=__doc__,
    tags=["ai", "discovery"],
    params={
        "project": Param(
            "projects/flight_delays.yaml",
            type="string",
            pattern=r"^projects/[A-Za-z0-9_.-]+\.ya?ml$",
            title="Project file",
            description="The project's plan, relative to the folder of this DAG.",
        )
    },
) as dag:
    discovery(project="{{ params.project }}")
