"""``make bench-gpu``: every figure of the GPU-slot pool beside its goal.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

from tests.bench import (
    gpu_acquire,
    gpu_contention,
    gpu_costs,
    gpu_planning,
    gpu_simulation,
)
from tests.bench.report import report


def main() -> None:
    """Measure, print and write ``build/bench/gpu.json``."""
    report(
        "gpu",
        {
            "what a plan costs": gpu_planning.measure,
            "how well plans pack": gpu_simulation.measure,
            "what a lease costs": gpu_acquire.measure,
            "how long devices stand idle": gpu_contention.measure,
            "what waiting and holding cost": gpu_costs.measure,
        },
    )


if __name__ == "__main__":
    main()
