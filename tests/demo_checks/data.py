"""The data gates and what they kept from training."""

from __future__ import annotations

import json
from pathlib import Path

from demo_checks.look import DIGITS, Demo, lease_of, moment, must, require

BROKEN = "2013-06"


@must("June's broken delivery was stopped, set aside, and trained nothing")
def broken_month(demo: Demo) -> str:
    records = demo.gates("data", subject=f"ai-data://flights/{BROKEN}")
    require([r["verdict"] for r in records] == ["fail", "pass"], f"the gate said {records}")
    broken, mended = records
    digest = broken["evidence"]["data"]["digest"]
    require(digest != mended["evidence"]["data"]["digest"], "the same file failed and passed")
    aside = broken["evidence"]["quarantine"]
    require(aside and aside["rows"] > 0, "no rows were set aside")
    require(Path(aside["path"]).is_file(), f"{aside['path']} is not there")
    for record in demo.gates("model"):
        text = json.dumps(record["evidence"])
        require(broken["id"] not in text and digest not in text, f"{record['subject']} rests on it")
        if f"flights/{BROKEN}" in record["evidence"]["training"]["partitions"]:
            lease = lease_of(demo, record)
            late = moment(lease["granted_at"]) > moment(mended["created_at"])
            require(late, f"{record['subject']} was trained on {BROKEN} before it was mended")
    return f"{aside['rows']} rows set aside; mended {mended['created_at']}"


@must("every training rested on data gates that passed")
def gated_training(demo: Demo) -> str:
    passed = {r["id"]: r["subject"] for r in demo.gates("data") if r["verdict"] != "fail"}
    judged = demo.gates("model")
    for record in judged:
        training = record["evidence"]["training"]
        subjects = {passed.get(gate) for gate in training["gates"]}
        wanted = {f"ai-data://{partition}" for partition in training["partitions"]}
        require(None not in subjects, f"{record['subject']} names a gate that did not pass")
        require(wanted <= subjects, f"{record['subject']} trained on {wanted - subjects} ungated")
    return f"{len(judged)} judgements"


@must("figures come from held-out data of later months, never from training rows")
def held_out(demo: Demo) -> str:
    import duckdb

    looked = 0
    for record in demo.gates("model"):
        evidence = record["evidence"]
        training, judged_on = evidence["training"], evidence["data"]["name"]
        if evidence["model_name"] == DIGITS:
            rows = demo.gates("data", subject=f"ai-data://{judged_on}")[-1]["evidence"]["data"]
            whole = training["rows"] + evidence["data"]["rows"]
            require(whole <= rows["rows"], "rows of the digits were trained on and judged on")
            continue
        require(judged_on > max(training["partitions"]), f"{judged_on} is not later")
        for path in (demo.home / "data" / "evaluations").rglob(f"*{evidence['run_id']}*.parquet"):
            first = duckdb.sql(f"SELECT min(day)::DATE::VARCHAR FROM '{path}'").fetchall()
            require(first and first[0][0] > training["through"], f"{path} has days of the training")
            looked += 1
    require(looked, "no predictions were found to look into")
    return f"{looked} files of predictions begin after their model's training ends"
