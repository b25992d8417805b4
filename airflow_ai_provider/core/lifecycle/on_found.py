"""The traps that a project's file cannot tell: of its code, its models and their feedback."""

from __future__ import annotations

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle.criteria import criterion
from airflow_ai_provider.core.lifecycle.found import Findings
from airflow_ai_provider.core.lifecycle.project import Project

_MOST_NAMED = 5


def product_approach(findings: Findings) -> Criterion:
    """The project's DAGs are put together from shared components, not from copies."""
    code = findings.code
    if code is None or code.unreadable or not code.dags:
        unread = ", ".join(code.unreadable[:_MOST_NAMED]) if code else ""
        remedy = (
            f"Correct {unread}, which is no Python, so that it can be looked at."
            if unread
            else "Keep the project's DAGs beside the one that asks, and name the project in them."
        )
    elif code.copies:
        where = " and ".join(code.copies[0].places[:_MOST_NAMED])
        more = f" ({len(code.copies) - 1} more)" if len(code.copies) > 1 else ""
        remedy = (
            f"Keep once, in a module or task group that all import, what was copied: {where}{more}."
        )
    else:
        remedy = (
            f"Put {', '.join(code.alone[:_MOST_NAMED])} together from shared task groups and "
            "operators, so that the next project need not begin anew."
        )
    return criterion(
        "product_approach",
        limit="every DAG imports shared components, and no function is copied between files",
        observed=None
        if code is None
        else {
            "dags": len(code.dags),
            "share_nothing": list(code.alone),
            "copied": [list(copy.places) for copy in code.copies],
            "unreadable": list(code.unreadable),
        },
        good=code is not None
        and bool(code.dags)
        and not (code.alone or code.copies or code.unreadable),
        yes="The project's DAGs share their components and copy none.",
        no=remedy,
    )


def models_not_in_git(findings: Findings) -> Criterion:
    """Models lie in the registry and not beside the code, nor in its history."""
    found = findings.models_in_repository
    count = None if found is None else len(found)
    listed = ", ".join(list(found or ())[:_MOST_NAMED])
    return criterion(
        "models_not_in_git",
        limit="no model files beside the code or in its history",
        observed=count,
        good=count == 0,
        yes="No model lies beside the code.",
        no=f"Move {listed} into the model registry and out of the repository."
        if found
        else "Look through the project's folder and the repository's history for model files.",
    )


def model_gate(model_name: str, findings: Findings) -> Criterion:
    """A candidate of the pilot passed its model gate, says the ledger."""
    result = findings.pilots.get(model_name)
    verdict = result.verdict if result else None
    return criterion(
        "model_gate",
        limit="a model gate that passed, in the ledger",
        observed=verdict,
        good=verdict in {Verdict.PASS.value, Verdict.WARN.value, Verdict.OVERRIDE.value},
        yes=f"A candidate of {model_name} met its criteria.",
        no=f"Let a candidate of {model_name} pass its model gate, and hand over its result.",
    )


def own_data_results(project: Project, model_name: str, findings: Findings) -> Criterion:
    """The pilot beat what it had to beat on data of the organisation's own, by an interval."""
    source = project.source(project.use_case(model_name).data_source)
    result = findings.pilots.get(model_name)
    measured = result.own_data if result else None
    bounds = dict(result.bounds) if result else {}
    own = source.own and measured is True
    if not own:
        remedy = (
            f"Judge {model_name} on data of our own before production: a result on "
            f"{'public' if not source.own else 'unknown'} data promises nothing here."
        )
    else:
        remedy = (
            f"Add an improvement criterion over the baseline to {model_name}: without an interval "
            "nobody knows whether the result was luck."
        )
    return criterion(
        "own_data_results",
        limit="judged on data of our own, with an interval of the improvement",
        observed={
            "source": source.name,
            "own": source.own,
            "judged_on_own": measured,
            "interval_ends": bounds,
        },
        good=own and bool(bounds),
        yes=f"{model_name} was judged on data of our own, with an interval.",
        no=remedy,
    )


def model_logistics(model_name: str, findings: Findings) -> Criterion:
    """The candidate can be delivered: the registry has its signature, its card and its digest."""
    result = findings.pilots.get(model_name)
    lacking = result.lacking if result else None
    return criterion(
        "model_logistics",
        limit="signature, card and digest of the version in the registry",
        observed=None if lacking is None else {"lacking": list(lacking)},
        good=lacking is not None and not lacking,
        yes=f"The registry has signature, card and digest of {model_name}.",
        no=f"Give the registered version of {model_name} its {', '.join(lacking)} "
        "(ModelCardOperator does)."
        if lacking
        else f"Register the candidate of {model_name}, and let the gate ask the registry.",
    )


def feedback_loop(findings: Findings) -> Criterion:
    """What really happened comes back for every model that is live or about to be."""
    live = findings.live_models
    feedback = findings.feedback
    silent = [name for name in live or () if not (feedback or {}).get(name)]
    observed = None if feedback is None else {name: feedback.get(name, 0) for name in live or ()}
    return criterion(
        "feedback_loop",
        limit="feedback stored for every live model",
        observed=observed,
        good=bool(live) and feedback is not None and not silent,
        yes="Feedback comes in for every live model.",
        no=f"Take in feedback on {', '.join(silent) or 'each model'} before it counts as live.",
    )


def live_model_limit(project: Project, findings: Findings) -> Criterion:
    """No more models are live than their feedback can be answered for."""
    live, limit = findings.live_models, project.live_model_limit
    needed = project.feedback_keeps_up
    behind = [n for n in live or () if findings.coverage.get(n, 0.0) < needed]
    few = live is not None and len(live) <= limit
    return criterion(
        "live_model_limit",
        limit=f"{limit}, more while {needed:.0%} of every model's predictions get feedback",
        observed=None
        if live is None
        else {"live": len(live), "feedback_behind": [] if few else behind},
        good=few or (live is not None and not behind),
        yes="No more models are live than planned."
        if few
        else "More models are live than planned, and the feedback on each keeps up.",
        no=f"Retire one of {', '.join(live)}, or bring in the feedback on {', '.join(behind)}, "
        "before another goes live."
        if live
        else "Find out which models are live.",
    )
