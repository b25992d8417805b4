"""The registry and the promotions."""

from __future__ import annotations

import json
from typing import Any

from demo_checks.look import DIGITS, FLIGHTS, Demo, must, require


def version_of(record: dict[str, Any]) -> str:
    return str(record["subject"].rpartition("/")[2])


def promotions(demo: Demo, model: str, environment: str) -> list[dict[str, Any]]:
    return [
        record
        for record in demo.gates("promotion")
        if record["subject"].startswith(f"mlflow://{model}/")
        and record["evidence"].get("environment") == environment
        and record["verdict"] != "fail"
    ]


@must("flight_delays has the aliases dev, test, staging, production")
def all_environments(demo: Demo) -> str:
    aliases = demo.aliases(FLIGHTS)
    require(set(aliases) == {"dev", "test", "staging", "production"}, f"aliases are {aliases}")
    return ", ".join(f"{name} is version {aliases[name]}" for name in sorted(aliases))


@must("at least two versions have been production, and the ledger says when")
def two_champions(demo: Demo) -> str:
    moves = promotions(demo, FLIGHTS, "production")
    versions = [version_of(move) for move in moves]
    require(len(set(versions)) >= 2, f"in production were {versions}")
    registered = {str(v.version) for v in demo.mlflow.search_model_versions(f"name='{FLIGHTS}'")}
    require(
        set(versions) <= registered, f"{versions} are not all among the registry's {registered}"
    )
    now = demo.aliases(FLIGHTS)["production"]
    require(versions[-1] == now, f"the ledger ends with {versions[-1]}, the registry has {now}")
    for move in moves:
        approvals = demo.gates("approval", id=move["evidence"]["approval"], verdict="pass")
        require(approvals, f"version {version_of(move)} went to production with no approval")
        require(approvals[0]["decided_by"] == "sponsor", "somebody else than the sponsor approved")
    return "; ".join(f"version {version_of(m)} since {m['created_at']}" for m in moves)


@must("at least one candidate was refused, with reasons")
def refusal(demo: Demo) -> str:
    refused = demo.gates("model", verdict="fail")
    reasons = {
        record["subject"]: [c["sentence"] for c in record["criteria"] if c["verdict"] == "fail"]
        for record in refused
    }
    require(refused, "every candidate passed")
    require(all(reasons.values()), "a refusal has no reason")
    last = refused[-1]["subject"]
    return f"{len(refused)} refusals; the last, {last}: {' '.join(reasons[last])}"


@must("refused versions never reached production")
def refused_stay_out(demo: Demo) -> str:
    champions = {version_of(move) for move in promotions(demo, FLIGHTS, "production")}
    judged = [r for r in demo.gates("model") if r["dag_id"] == "production"]
    refused = {version_of(r) for r in judged if r["verdict"] == "fail"}
    require(not champions & refused, f"versions {champions & refused} were refused and promoted")
    return f"champions {sorted(champions)}, refused {sorted(refused)}"


@must("the digits never left dev")
def digits_stay(demo: Demo) -> str:
    aliases = demo.aliases(DIGITS)
    require(set(aliases) == {"dev"}, f"aliases are {aliases}")
    moves = [r for r in demo.gates("promotion") if f"//{DIGITS}/" in r["subject"]]
    places = {move["evidence"]["environment"] for move in moves}
    require(places == {"dev"}, f"the ledger has them in {places}")
    pilot = demo.gates("phase", subject=f"project://{FLIGHTS}/pilot")
    text = json.dumps([(record["criteria"], record["evidence"]) for record in pilot])
    require("own_data_results" in text, "the pilot's gate does not say own_data_results")
    return f"dev is version {aliases['dev']}"
