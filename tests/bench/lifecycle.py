"""``make bench-lifecycle``: what the critical path in the scheduler brings and costs.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import lifecycle_priority
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/lifecycle.json``."""
    report(
        "lifecycle",
        {
            "how long runs take": lifecycle_priority.measure,
            "what a weight costs": lifecycle_priority.cost,
        },
    )


if __name__ == "__main__":
    main()
