"""How a gate is seen in Airflow: its link, its stats and its lineage, alike for each data gate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.links.quality import QualityReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.gate import GateRecord, Verdict
    from airflow_ai_provider.core.quality.lineage import LookedAt

_link = QualityReportLink()
LINKS = (_link,)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a gate of this process saw and decided, for who asks about its lineage."""

    looked: LookedAt | None
    tags: dict[str, str]

    @classmethod
    def of(cls, looked: LookedAt | None, record: GateRecord, verdict: Verdict) -> Seen:
        """Return what the gate saw, tied to its record."""
        tags = {
            "airflow_ai.gate_record": record.id,
            "airflow_ai.verdict": verdict.value,
            "airflow_ai.subject": record.subject,
        }
        return cls(looked=looked, tags=tags)


class GateSeen:
    """Beside a gate's operator: what Airflow shows and tells of it."""

    _seen: Seen | None = None
    _began: float = 0.0

    def begin(self, context: Context) -> None:
        """Push the page's address before anything is looked at, and look at the clock."""
        self._seen, self._began = None, time.monotonic()
        ti = context["ti"]
        address = _link.get_link(self, ti_key=ti)  # type: ignore[arg-type]
        ti.xcom_push(key=_link.xcom_key, value=address)

    def tell(
        self,
        *,
        gate: str,
        suite: str,
        dataset: str,
        rows: int,
        failed: Iterable[str],
        seen: Seen,
    ) -> None:
        """Tell Airflow's stats of the look, and keep what lineage asks for.

        ``failed`` are the severities of what was not met.
        """
        from airflow_ai_provider.hooks import _gate_metrics

        self._seen = seen
        _gate_metrics.looked(
            gate=gate,
            suite=suite,
            dataset=dataset,
            rows=rows,
            seconds=time.monotonic() - self._began,
            failed=Counter(failed),
        )

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the data that is looked at by its name, where the arguments say it."""
        return _lineage(None, getattr(self, "data", None))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the data looked at with its metrics and assertions, and the gate record's id."""
        return _lineage(self._seen, getattr(self, "data", None))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the same of a gate that refused; of one that could not look only the name."""
        return _lineage(self._seen, getattr(self, "data", None))


def _lineage(seen: Seen | None, path: Any) -> Any:
    """Return OpenLineage's own value; None where its provider is not installed."""
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    from airflow_ai_provider.adapters.openlineage import input_dataset, plain_dataset, run_tags
    from airflow_ai_provider.core.quality.lineage import named_files

    if seen is not None:
        inputs = [input_dataset(seen.looked)] if seen.looked else []
        return OperatorLineage(inputs=inputs, run_facets={"tags": run_tags(seen.tags)})
    named = [plain_dataset(*named_files(path))] if isinstance(path, str) and path else []
    return OperatorLineage(inputs=named)
