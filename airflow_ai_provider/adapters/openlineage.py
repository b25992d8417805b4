"""What a gate saw, in the classes of OpenLineage's client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.lineage import Asserted, LookedAt

PRODUCER = "airflow-ai-provider"


def input_dataset(looked: LookedAt) -> Any:
    """Return the input data set with its assertions and metrics.

    :raises ImportError: OpenLineage's client is not installed.
    """
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.generated.data_quality_assertions_dataset import (
        DataQualityAssertionsDatasetFacet,
    )
    from openlineage.client.generated.data_quality_metrics_input_dataset import (
        ColumnMetrics,
        DataQualityMetricsInputDatasetFacet,
    )

    metrics = {
        "rowCount": looked.rows,
        "bytes": looked.size,
        "fileCount": looked.files,
        "lastUpdated": looked.modified,
        "columnMetrics": {name: ColumnMetrics(**v) for name, v in looked.columns.items()},
    }
    asserted = DataQualityAssertionsDatasetFacet(
        assertions=[_assertion(a) for a in looked.asserted]
    )
    return InputDataset(
        namespace=looked.namespace,
        name=looked.name,
        inputFacets={
            "dataQualityMetrics": _known(DataQualityMetricsInputDatasetFacet, metrics),
            "dataQualityAssertions": asserted,
        },
    )


def plain_dataset(namespace: str, name: str) -> Any:
    """Return a data set of which only the name is known.

    :raises ImportError: OpenLineage's client is not installed.
    """
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(namespace=namespace, name=name)


def run_tags(tags: dict[str, str]) -> Any:
    """Return the facet that ties a run to our gate record.

    :raises ImportError: OpenLineage's client is not installed, or older than run tags.
    """
    from openlineage.client.generated.tags_run import TagsRunFacet, TagsRunFacetFields

    listed = [TagsRunFacetFields(key=k, value=v, source=PRODUCER) for k, v in tags.items()]
    return TagsRunFacet(tags=listed)


def _assertion(asserted: Asserted) -> Any:
    from openlineage.client.generated.data_quality_assertions_dataset import Assertion

    return _known(Assertion, vars(asserted))


def _known(kind: Any, values: dict[str, Any]) -> Any:
    """Return ``kind`` of those of ``values`` that this version of the client has."""
    names = {field.name for field in kind.__attrs_attrs__}
    return kind(**{k: v for k, v in values.items() if k in names and v is not None})
