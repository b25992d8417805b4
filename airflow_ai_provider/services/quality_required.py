"""Whether the newest gate record of a data set is good enough for those who use the data."""

from __future__ import annotations

from airflow_ai_provider.core.errors import DataQualityRequiredError
from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.quality.requirement import Requirement, Standing, judge
from airflow_ai_provider.store.ledger import Ledger


def standing(ledger: Ledger, requirement: Requirement) -> Standing:
    """Look at the newest record of the data set, or of its partition, by the store's clock.

    Without a partition it is the newest of all its partitions. Data that could not be looked at
    leave no record: where that must show, ask for a ``max_age``.
    """
    record = newest(ledger, requirement)
    with ledger.store.read() as connection:
        now = ledger.store.utcnow(connection)
    return judge(requirement, record, now)


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


def newest(ledger: Ledger, requirement: Requirement) -> GateRecord | None:
    """Return the newest data gate record of what is required."""
    subject, whole = requirement.subject, not requirement.partition
    found = ledger.search(
        kind=GateKind.DATA,
        newest_first=True,
        limit=1,
        subject=None if whole else subject,
        subject_or_below=subject if whole else None,
    )
    return found[0] if found else None
