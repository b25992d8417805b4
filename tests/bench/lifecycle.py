"""``make bench-lifecycle``: what the critical path in the scheduler brings, what the pages cost.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import lifecycle_priority, pages
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/lifecycle.json``."""
    report(
        "lifecycle",
        {
            "how long runs take": lifecycle_priority.measure,
            "what a weight costs": lifecycle_priority.cost,
            "how long pages take": pages.measure,
        },
    )


if __name__ == "__main__":
    main()
