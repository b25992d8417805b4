"""Whether the newest gate record of a data set is good enough for those who use the data."""

from __future__ import annotations

from airflow_ai_provider.core.errors import DataQualityRequiredError
from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.quality.requirement import Requirement, Standing, judge
from airflow_ai_provider.store.ledger import Ledger


def standing(ledger: Ledger, requirement: Requirement) -> Standing:
    """Look at the newest record of the data set, or of its partition, by the store's clock.

    Of several gates it is the standing of the first that is not good, if there is one. Without a
    partition it is the newest record of all its partitions. Data that could not be looked at leave
    no record: where that must show, ask for a ``max_age``.
    """
    records = {kind: newest(ledger, requirement, kind) for kind in requirement.gates}
    with ledger.store.read() as connection:
        now = ledger.store.utcnow(connection)
    found = [judge(requirement, record, now, kind) for kind, record in records.items()]
    return next((one for one in found if not one), found[0])


def require(ledger: Ledger, requirement: Requirement) -> Standing:
    """Return the standing of a data set that is good enough.

    :raises DataQualityRequiredError: it is not; ``facts["reason"]`` names why.
    """
    found = standing(ledger, requirement)
    if not found:
        raise refusal(found)
    return found


def refusal(found: Standing) -> DataQualityRequiredError:
    """Return the error for a standing that is not good enough."""
    facts = {name: value for name, value in found.as_json().items() if name != "message"}
    return DataQualityRequiredError(
        found.sentence,
        remedy="Wait for the data set's next gate, or look at why its gate refused.",
        **facts,
    )


def newest(ledger: Ledger, requirement: Requirement, kind: GateKind) -> GateRecord | None:
    """Return the newest record that a gate of ``kind`` left of what is required."""
    subject, whole = requirement.subject, not requirement.partition
    found = ledger.search(
        kind=kind,
        newest_first=True,
        limit=1,
        subject=None if whole else subject,
        subject_or_below=subject if whole else None,
    )
    return found[0] if found else None
