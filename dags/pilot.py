"""Pilots side by side: gate the data, train candidates on leases, judge them, keep the best.

Starts when discovery has passed. Every use case of the project file that is a pilot takes part; its
training code is the package of its name, beside this file.
"""

from __future__ import annotations

import use_cases
from experiments.pilots import pilot_dag

# Airflow reads a file as a DAG's when it speaks of airflow and of a dag.
pilot = pilot_dag(
    "pilot",
    project="flight_delays",
    project_file=use_cases.PROJECT_FILE,
    datasets=("flights", "digits"),
    doc=__doc__,
)
