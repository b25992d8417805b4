"""What the ledger knows of a data set's earlier deliveries."""

from __future__ import annotations

from airflow_ai_provider.core.gate import GateKind, Verdict
from airflow_ai_provider.store.ledger import Ledger

_AT_ONCE = 50  # records to look through for each one wanted: some were refused, some judged again


def earlier_rows(ledger: Ledger, dataset: str, partition: str | None, last: int) -> list[int]:
    """Return the rows of the last deliveries of ``dataset`` that passed, the newest first.

    Each partition counts once, by its newest record, and ``partition`` itself does not: a delivery
    is not compared with itself when its gate runs again.
    """
    prefix = f"ai-data://{dataset}"
    found: list[int] = []
    seen = {f"{prefix}/{partition}"} if partition else set()
    records = ledger.search(
        kind=GateKind.DATA,
        subject_prefix=f"{prefix}/" if partition else prefix,
        newest_first=True,
        limit=last * _AT_ONCE,
    )
    for record in records:
        if len(found) == last:
            break
        if record.subject != prefix and not record.subject.startswith(f"{prefix}/"):
            continue  # another data set, whose name begins alike
        if record.subject in seen:
            continue
        if not Verdict(record.verdict).lets_pass:
            continue
        if record.subject != prefix:
            seen.add(record.subject)
        found.append(int(record.evidence["data"]["rows"]))
    return found
