"""``make bench-feedback``: what taking feedback in costs, beside its goals.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import feedback_http, feedback_ingest, feedback_training
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/feedback.json``."""
    report(
        "feedback",
        {
            "a training set": feedback_training.measure,
            "feedback over HTTP": feedback_http.measure,
            "the sinks beside their peers": feedback_ingest.measure,
        },
    )


if __name__ == "__main__":
    main()
