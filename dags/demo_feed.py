"""The airline that delivers a month's flights when it is asked: a stand-in, for the demo only.

It asks nobody and decides nothing: a request for the month after m delivers that month once, a
request for the same month again delivers it repaired. The months named ``broken`` arrive broken at
first. Your own data arrives by itself: leave this file out, and let your delivery emit the event.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

import use_cases
from airflow_ai_provider.assets import landing_asset, request_asset

DATASET = "flights"


@dag(
    schedule=[request_asset(DATASET)],
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={
        "last": Param("2013-07", type="string", pattern=r"^2013-\d{2}$", title="Last month"),
        "broken": Param(
            ["2013-06"],
            type="array",
            items={"type": "string", "pattern": r"^2013-\d{2}$"},
            title="Months that arrive broken at first",
        ),
    },
    tags=["ai", "demo"],
    doc_md=__doc__,
)
def demo_feed():
    @task(outlets=[landing_asset(DATASET)])
    def deliver(params: dict, triggering_asset_events=None, outlet_events=None) -> list[str]:
        from flight_delays.feed import answer

        delivered = answer(
            use_cases.extras(triggering_asset_events),
            landing=use_cases.DATA / "landing",
            last=params["last"],
            broken=params["broken"],
        )
        if not delivered:
            raise AirflowSkipException("There is nothing new to deliver.")
        outlet_events[landing_asset(DATASET)].extra = {"partitions": delivered}
        return delivered

    deliver()


demo_feed()
