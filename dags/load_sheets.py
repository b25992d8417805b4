"""Handwritten digits: a vision project with two pilots side by side, beside any other project.

`load_sheets_feed` delivers scikit-learn's digits once; trigger it first, then `discovery` with
`projects/load_sheets.yaml`. When discovery has passed, `load_sheets_pilot` trains and judges both
pilots. The digits are public, so its gate refuses production and says so: scan sheets of your own.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_ai_provider.assets import landing_asset
from experiments.pilots import pilot_dag
from experiments.places import PLACES

PROJECT_FILE = "projects/load_sheets.yaml"


@dag(
    schedule=None,
    tags=["ai", "pilot"],
    doc_md=__doc__,
    params={"project": Param(PROJECT_FILE, type="string", title="Project file")},
)
def load_sheets_feed():
    @task(outlets=[landing_asset("digits")])
    def deliver() -> str:
        from handwritten_digits.data import deliver_digits

        return str(deliver_digits(PLACES["landing"]))

    deliver()


feed = load_sheets_feed()
pilot = pilot_dag(
    "load_sheets_pilot",
    project="load_sheets",
    project_file=PROJECT_FILE,
    datasets=("digits",),
    doc=__doc__,
    on_refusal="skip",
)
