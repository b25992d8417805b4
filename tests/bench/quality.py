"""``make bench-quality``: every figure of the data gate beside its goal.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import quality_drift, quality_gate, quality_large, quality_table
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/quality.json``."""
    report(
        "quality",
        {
            "the gate beside its peers": quality_gate.measure,
            "ten times the rows, and little memory": quality_large.measure,
            "drift beside scipy": quality_drift.measure,
            "a table in PostgreSQL": quality_table.measure,
        },
    )


if __name__ == "__main__":
    main()
