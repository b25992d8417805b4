"""The distributions of a network's weights and gradients, as training logs them step by step.

Each step is an artifact ``histograms/step-00000400.json`` of the run::

    {"version": 1, "step": 400,
     "arrays": [{"name": "encoder.weight", "of": "weight", "size": 4096, "not_finite": 0,
                 "low": -0.41, "high": 0.40, "mean": 0.001, "deviation": 0.1,
                 "counts": [3, 17, ...]}]}

``of`` is ``weight`` or ``gradient``; ``counts`` are of bins of one width from ``low`` to ``high``,
of the finite values alone. The four numbers are null where no value is finite.
``services.promotion.histograms.log_histograms`` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from airflow_ai_provider.core.errors import EvidenceError

FOLDER = "histograms"
KINDS = ("weight", "gradient")
_VERSION, _BINS = 1, 40


@dataclass(frozen=True, kw_only=True)
class ArrayHistogram:
    """How the values of one array are distributed."""

    name: str
    of: str
    size: int
    not_finite: int
    low: float | None
    high: float | None
    mean: float | None
    deviation: float | None
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StepHistograms:
    """All that was logged at one step of the training."""

    step: int
    arrays: tuple[ArrayHistogram, ...]

    @property
    def document(self) -> dict[str, Any]:
        """The artifact."""
        return {
            "version": _VERSION,
            "step": self.step,
            "arrays": [{**asdict(a), "counts": list(a.counts)} for a in self.arrays],
        }

    @property
    def path(self) -> str:
        """Where the artifact lies under the run."""
        return f"{FOLDER}/step-{self.step:08d}.json"


def step_histograms(weights: Any, *, step: int, gradients: Any = None) -> StepHistograms:
    """Return the histograms of a network at one step.

    ``weights`` is a PyTorch module (its parameters' gradients are taken too), a Keras model or
    layer, or a mapping or sequence of arrays; ``gradients`` a mapping or sequence. An array is of
    NumPy, PyTorch, TensorFlow, Keras, JAX or CuPy: none of them is imported here.

    :raises EvidenceError: an array holds no numbers, or the step is no count.
    """
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise EvidenceError(f"{step!r} is no step.", remedy="Write a whole number from 0 on.")
    found = list(_named(weights, "weight"))
    if gradients is not None:
        found += _named(gradients, "gradient")
    arrays = tuple(array_histogram(values, name=name, of=of) for name, of, values in found)
    return StepHistograms(step=step, arrays=arrays)


def array_histogram(values: Any, *, name: str, of: str) -> ArrayHistogram:
    """Return the histogram of one array.

    :raises EvidenceError: it holds no numbers.
    """
    try:
        flat = np.asarray(_on_host(values), dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"The {of} {name} holds no numbers: {error}.") from error
    finite = flat[np.isfinite(flat)]
    low, high, mean, deviation = None, None, None, None
    counts: tuple[int, ...] = ()
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        scale = max(abs(low), abs(high)) or 1.0  # the width of the range may be no float
        scaled = finite / scale
        mean, deviation = float(scaled.mean()) * scale, float(scaled.std()) * scale
        bins = 1 if low == high else _BINS
        span = None if low == high else (low / scale, high / scale)
        counts = tuple(int(n) for n in np.histogram(scaled, bins=bins, range=span)[0])
    return ArrayHistogram(
        name=name,
        of=of,
        size=len(flat),
        not_finite=len(flat) - len(finite),
        low=low,
        high=high,
        mean=mean,
        deviation=deviation,
        counts=counts,
    )


def read_histograms(document: Any) -> StepHistograms:
    """Return what an artifact holds.

    :raises EvidenceError: it is no such artifact.
    """
    try:
        arrays = tuple(
            ArrayHistogram(**{**item, "counts": tuple(item["counts"])})
            for item in document["arrays"]
        )
        found = StepHistograms(step=document["step"], arrays=arrays)
        sound = document["version"] == _VERSION and isinstance(found.step, int)
        sound = sound and all(map(_sound, arrays))
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise EvidenceError(
            "The file holds no histograms of weights and gradients.",
            remedy="Let log_histograms write what lies under histograms/.",
        )
    return found


def _sound(array: ArrayHistogram) -> bool:
    numbers = (array.low, array.high, array.mean, array.deviation)
    if array.of not in KINDS or not all(isinstance(n, int) and n >= 0 for n in array.counts):
        return False
    if array.size - array.not_finite != sum(array.counts):
        return False
    if not array.counts:
        return numbers == (None, None, None, None)
    return all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)


def _named(source: Any, of: str) -> Iterator[tuple[str, str, Any]]:
    if hasattr(source, "named_parameters"):  # PyTorch
        for name, parameter in source.named_parameters():
            yield name, of, parameter
            if getattr(parameter, "grad", None) is not None:
                yield name, "gradient", parameter.grad
    elif isinstance(source, Mapping):
        for name, values in source.items():
            yield str(name), of, values
    elif hasattr(source, "weights"):  # Keras
        for values in source.weights:
            yield str(getattr(values, "path", None) or values.name), of, values
    else:
        for place, values in enumerate(source):
            yield str(getattr(values, "path", None) or place), of, values


def _on_host(values: Any) -> Any:
    """Return an array that NumPy can read, whosever it is and wherever it lies."""
    if hasattr(values, "detach"):  # PyTorch; NumPy has no bfloat16
        return values.detach().float().cpu().numpy()
    if hasattr(values, "numpy"):  # TensorFlow, Keras
        return values.numpy()
    if hasattr(values, "__cuda_array_interface__") and hasattr(values, "get"):  # CuPy
        return values.get()
    return values
