"""``make bench-promotion``: what judging and moving a model costs, beside its goal.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import promotion_bootstrap, promotion_moves
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/promotion.json``."""
    report(
        "promotion",
        {
            "what an interval costs": promotion_bootstrap.measure,
            "what a move costs": promotion_moves.measure,
        },
    )


if __name__ == "__main__":
    main()
