"""What users of Great Expectations and of its Airflow providers write, and the same here.

Each of the README's migrations is run on both sides, Great Expectations itself beside our gate, on
a sample as that of its documentation (taxi trips) with slips in it: the verdicts are the same,
expectation by expectation.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Verdicts = Mapping[tuple[str, str | None], int | None]  # of what failed, with its count


@pytest.fixture(scope="module")
def gx() -> Any:
    """Great Expectations, without its progress bars."""
    import great_expectations

    return great_expectations


@pytest.fixture
def context(gx: Any) -> Any:
    """An ephemeral context of its own."""
    found = gx.get_context(mode="ephemeral")
    found.variables.progress_bars = {"globally": False}
    return found


@pytest.fixture(autouse=True)
def ledger(here: Store) -> Ledger:
    return Ledger(here)


def trips(month: int) -> pd.DataFrame:
    """Return a month of trips: January is as it should be, February is not."""
    draw = random.Random(month)
    rows, poor = [], month == 2
    for n in range(400):
        start = datetime(2019, month, 1) + timedelta(minutes=100 * n)  # noqa: DTZ001
        rows.append(
            {
                "vendor_id": None if poor and n % 100 == 0 else draw.choice([1, 2]),
                "pickup_datetime": None if poor and n % 50 == 7 else f"{start}",
                "dropoff_datetime": f"{start + timedelta(minutes=draw.randint(1, 60))}",
                "passenger_count": 0 if poor and n % 40 == 3 else draw.randint(1, 6),
                "store_and_fwd_flag": draw.choice(["Y", "N", "?" if poor else "N"]),
                "fare_amount": -5.5 if poor and n % 90 == 1 else round(draw.uniform(2.5, 60), 2),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a CSV of each month."""
    folder = tmp_path / "data"
    folder.mkdir()
    for month in (1, 2):
        trips(month).to_csv(folder / f"yellow_tripdata_sample_2019-0{month}.csv", index=False)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The address of a database with February's trips, which the connection ``taxi`` names."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'taxi.db'}"
    else:
        url = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    engine = sa.create_engine(url)
    trips(2).to_sql("nyc_taxi_data", engine, index=False)
    engine.dispose()
    connection = {"conn_type": "generic", "extra": json.dumps({"url": url})}
    monkeypatch.setenv("AIRFLOW_CONN_TAXI", json.dumps(connection))
    return url


def theirs(result: Any) -> Verdicts:
    """Return what failed of a validation result, with how many values did."""
    return {
        (r.expectation_config.type, r.expectation_config.kwargs.get("column")): r.result.get(
            "unexpected_count"
        )
        for r in result.results
        if not r.success
    }


def ours(operator: DataQualityGateOperator, **params: Any) -> Verdicts:
    """Return the same of our gate, run as Airflow runs it."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="gate", map_index=-1, try_number=1, task=operator,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )  # fmt: skip
    context: Any = {"ti": ti, "outlet_events": defaultdict(list), "params": params}
    operator.render_template_fields(context)
    try:
        report = operator.execute(context)
    except AirflowFailException:
        report = pushed["return_value"]
    failed = {(f["type"], f.get("column")): f.get("unexpected_count") for f in report["failed"]}
    assert report["success"] is (not failed)
    return failed


def gate(**arguments: Any) -> DataQualityGateOperator:
    with DAG("d"):
        return DataQualityGateOperator(task_id="gate", **arguments)


def passengers(gx: Any) -> Any:
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column="passenger_count", min_value=1, max_value=6
    )


def taxi_suite(gx: Any) -> Any:
    """The suite of the Airflow provider's example DAG."""
    return gx.ExpectationSuite(
        name="Taxi Data Expectations",
        expectations=[
            gx.expectations.ExpectTableRowCountToBeBetween(min_value=300, max_value=11_000),
            gx.expectations.ExpectColumnValuesToNotBeNull(column="vendor_id"),
            passengers(gx),
        ],
    )


# --- Great Expectations' own quickstarts --------------------------------------------------------


@pytest.mark.parametrize("month", [1, 2])
def test_one_expectation_on_a_frame(gx: Any, context: Any, month: int) -> None:
    frame = trips(month)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(name="trips")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    result = batch.validate(gx.ExpectationSuite(name="s", expectations=[passengers(gx)]))

    found = ours(gate(frame_callable=lambda: frame, suite=gx.ExpectationSuite(
        name="s", expectations=[passengers(gx)]
    )))  # fmt: skip
    assert found == theirs(result)
    assert bool(found) is (month == 2)


def test_the_checkpoint_of_two_expectations_on_a_table(
    gx: Any, context: Any, database: str
) -> None:
    add = context.data_sources.add_sqlite
    add = add if database.startswith("sqlite") else context.data_sources.add_sql
    asset = add("db", connection_string=database).add_table_asset("taxi", "nyc_taxi_data")
    fares = gx.expectations.ExpectColumnValuesToBeBetween(column="fare_amount", min_value=0)
    suite = context.suites.add(
        gx.ExpectationSuite(name="expectations", expectations=[passengers(gx), fares])
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="v", data=asset.add_batch_definition_whole_table("all"), suite=suite
        )
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name="checkpoint", validation_definitions=[definition])
    )
    [result] = checkpoint.run().run_results.values()

    found = ours(gate(conn_id="taxi", table="nyc_taxi_data", suite=suite))
    assert found == theirs(result)
    assert len(found) == 2


def test_the_018_quickstart_and_its_stored_suite(
    gx: Any, context: Any, files: Path, tmp_path: Path
) -> None:
    path = files / "yellow_tripdata_sample_2019-02.csv"
    batch = context.data_sources.pandas_default.read_csv(path)
    pickup = gx.expectations.ExpectColumnValuesToNotBeNull(column="pickup_datetime", mostly=0.8)
    flags = gx.expectations.ExpectColumnValuesToBeInSet(
        column="store_and_fwd_flag", value_set=["Y", "N"]
    )
    result = batch.validate(
        gx.ExpectationSuite(name="quickstart", expectations=[pickup, passengers(gx), flags])
    )

    old = [
        ("expect_column_values_to_not_be_null", {"column": "pickup_datetime", "mostly": 0.8}),
        (
            "expect_column_values_to_be_between",
            {"column": "passenger_count", "min_value": 1, "max_value": 6},
        ),
        (
            "expect_column_values_to_be_in_set",
            {"column": "store_and_fwd_flag", "value_set": ["Y", "N"]},
        ),
    ]
    stored = tmp_path / "quickstart.json"
    listed = [{"expectation_type": kind, "kwargs": kwargs, "meta": {}} for kind, kwargs in old]
    stored.write_text(
        json.dumps(
            {
                "expectation_suite_name": "quickstart",
                "data_asset_type": None,
                "expectations": listed,
                "meta": {"great_expectations_version": "0.18.19"},
            }
        )
    )
    found = ours(gate(data=str(path), suite=str(stored)))
    assert found == theirs(result)
    assert len(found) == 2


# --- the Airflow provider of Great Expectations -------------------------------------------------


def test_gx_validate_data_frame_operator(gx: Any, context: Any, files: Path) -> None:
    path = files / "yellow_tripdata_sample_2019-02.csv"
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(name="trips")
    definition = asset.add_batch_definition_whole_dataframe("all")
    result = gx.ValidationDefinition(
        name="v", data=definition, suite=context.suites.add(taxi_suite(gx))
    ).run(batch_parameters={"dataframe": pd.read_csv(path)})

    found = ours(gate(frame_callable=lambda: pd.read_csv(path), suite=lambda **_: taxi_suite(gx)))
    assert found == theirs(result)
    assert len(found) == 2


@pytest.mark.parametrize("month", ["01", "02"])
def test_gx_validate_batch_operator(gx: Any, context: Any, files: Path, month: str) -> None:
    asset = context.data_sources.add_pandas_filesystem("files", base_directory=files)
    definition = asset.add_csv_asset("trips").add_batch_definition_monthly(
        name="monthly", regex=r"yellow_tripdata_sample_(?P<year>\d{4})-(?P<month>\d{2}).csv"
    )
    result = gx.ValidationDefinition(
        name="v", data=definition, suite=context.suites.add(taxi_suite(gx))
    ).run(batch_parameters={"year": "2019", "month": month})

    name = "yellow_tripdata_sample_{{ params.year }}-{{ params.month }}.csv"
    operator = gate(data=f"{files}/{name}", suite=taxi_suite(gx))
    found = ours(operator, year="2019", month=month)
    assert found == theirs(result)
    assert bool(found) is (month == "02")


def test_gx_validate_checkpoint_operator(gx: Any, files: Path, tmp_path: Path) -> None:
    """A checkpoint in a file context: its suites are JSON files, which the gate reads."""
    context = gx.get_context(mode="file", project_root_dir=tmp_path)
    context.variables.progress_bars = {"globally": False}
    definition = (
        context.data_sources.add_pandas_filesystem("files", base_directory=files)
        .add_csv_asset("trips")
        .add_batch_definition_path("february", path="yellow_tripdata_sample_2019-02.csv")
    )
    flags = gx.expectations.ExpectColumnDistinctValuesToBeInSet(
        column="store_and_fwd_flag", value_set=["Y", "N"]
    )
    suites = [taxi_suite(gx), gx.ExpectationSuite(name="flags", expectations=[flags])]
    checkpoint = gx.Checkpoint(
        name="checkpoint",
        validation_definitions=[
            context.validation_definitions.add(
                gx.ValidationDefinition(
                    name=suite.name, data=definition, suite=context.suites.add(suite)
                )
            )
            for suite in suites
        ],
    )
    results = context.checkpoints.add(checkpoint).run().run_results.values()

    expected: dict[Any, Any] = {}
    for result in results:
        expected |= theirs(result)
    stored = sorted((tmp_path / "gx" / "expectations").glob("*.json"))
    assert len(stored) == 2
    found = ours(
        gate(
            data=str(files / "yellow_tripdata_sample_2019-02.csv"),
            suite=[str(path) for path in stored],
        )
    )
    assert found == expected
    assert len(found) == 3


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ({"data_asset_name": "nyc_taxi_data"}, {"table": "nyc_taxi_data"}),
        (
            {"query_to_validate": "SELECT * FROM nyc_taxi_data WHERE fare_amount > 0"},
            {"sql": "SELECT * FROM nyc_taxi_data WHERE fare_amount > 0"},
        ),
    ],
)
def test_the_0x_great_expectations_operator(
    gx: Any, context: Any, database: str, said: dict[str, str], here: dict[str, str]
) -> None:
    """``fail_task_on_validation_failure=False`` is ``on_fail="warn"`` here: the task goes on."""
    add = context.data_sources.add_sqlite
    add = add if database.startswith("sqlite") else context.data_sources.add_sql
    source = add("db", connection_string=database)
    asset = (
        source.add_table_asset("taxi", said["data_asset_name"])
        if "data_asset_name" in said
        else source.add_query_asset("taxi", query=said["query_to_validate"])
    )
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    result = batch.validate(taxi_suite(gx))

    found = ours(gate(conn_id="taxi", suite=taxi_suite(gx), on_fail="warn", **here))
    assert found == theirs(result)
    assert found
