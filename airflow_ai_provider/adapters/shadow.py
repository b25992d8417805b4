"""What two versions answered to the same requests, with what became of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from airflow_ai_provider.adapters.prediction_reading import load_outcomes, reading_log
from airflow_ai_provider.core.promotion.evidence import Predictions

_PAIRS = """
WITH answered AS (
    SELECT CAST(prediction_id AS VARCHAR) AS id, CAST(model_version AS VARCHAR) AS version,
           CAST(score AS DOUBLE) AS score, CAST("day" AS VARCHAR) AS part
    FROM log
    WHERE model_name = $model AND score IS NOT NULL
      AND CAST(model_version AS VARCHAR) IN ($candidate, $reference)
    QUALIFY row_number() OVER (PARTITION BY id, version ORDER BY predicted_at DESC) = 1
), labelled AS (
    SELECT prediction_id AS id, label FROM outcome WHERE label IN (0, 1)
    QUALIFY row_number() OVER (PARTITION BY prediction_id
        ORDER BY is_outcome DESC, observed_at DESC, sequence DESC) = 1
)
SELECT label, mine.score AS score, theirs.score AS reference, mine.part AS part
FROM answered mine
JOIN answered theirs ON mine.id = theirs.id AND theirs.version = $reference
JOIN labelled ON labelled.id = mine.id
WHERE mine.version = $candidate
ORDER BY mine.id
"""


def shadow_rows(
    predictions: str,
    outcomes: Iterable[bytes],
    *,
    model_name: str,
    candidate: str,
    reference: str,
) -> Predictions:
    """Return the rows of the prediction log that both versions answered and that have an outcome.

    Of several outcomes for one prediction one from a system goes before an opinion, then the
    newest. The group is the day.

    :raises FeedbackSourceError: the log cannot be read or lacks a column.
    """
    with reading_log(predictions) as connection:
        load_outcomes(connection, outcomes)
        said = {"model": model_name, "candidate": candidate, "reference": reference}
        found = connection.execute(_PAIRS, said).fetchnumpy()
    return Predictions(
        label=np.asarray(found["label"]),
        score=np.asarray(found["score"]),
        reference=np.asarray(found["reference"]),
        group=np.asarray(found["part"], dtype=object).astype(str),
    )
