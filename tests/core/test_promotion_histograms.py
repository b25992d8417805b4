"""Histograms of weights and gradients, whosever arrays they are, and their pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.promotion.histogram_pictures import histogram_pictures
from airflow_ai_provider.core.promotion.histograms import (
    array_histogram,
    read_histograms,
    step_histograms,
)


class Tensor:
    """A tensor as PyTorch makes them: on a device, with a gradient, of a type NumPy lacks."""

    def __init__(self, values, grad=None, *, done=()):
        self.values, self.grad, self.done = values, grad, done

    def __array__(self, *_args, **_kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def _then(self, what):
        return Tensor(self.values, done=(*self.done, what))

    def detach(self):
        return self._then("detach")

    def float(self):
        return self._then("float")

    def cpu(self):
        return self._then("cpu")

    def numpy(self):
        assert self.done == ("detach", "float", "cpu")
        return np.asarray(self.values)


def test_a_pytorch_module_brings_its_gradients():
    parameters = {"fc.weight": Tensor([1.0, 2.0], Tensor([0.5, 0.5])), "fc.bias": Tensor([0.0])}
    module = SimpleNamespace(named_parameters=parameters.items)
    found = step_histograms(module, step=3)
    told = [(a.name, a.of, a.mean) for a in found.arrays]
    assert told == [
        ("fc.weight", "weight", 1.5),
        ("fc.weight", "gradient", 0.5),
        ("fc.bias", "weight", 0.0),
    ]


def test_a_keras_model_and_gradients_by_name():
    def variable(path, values):
        return SimpleNamespace(path=path, numpy=lambda: np.array(values, dtype=np.float32))

    model = SimpleNamespace(weights=[variable("dense/kernel", [1, 3])])
    found = step_histograms(model, step=0, gradients={"dense/kernel": variable("", [2, 2])})
    assert [(a.name, a.of, a.mean) for a in found.arrays] == [
        ("dense/kernel", "weight", 2.0),
        ("dense/kernel", "gradient", 2.0),
    ]


def test_an_array_on_a_device():
    on_device = SimpleNamespace(__cuda_array_interface__={}, get=lambda: np.array([4.0]))
    assert array_histogram(on_device, name="w", of="weight").mean == 4.0


def test_arrays_without_names_are_numbered():
    found = step_histograms([np.zeros(2), np.ones((2, 2))], step=1)
    assert [(a.name, a.size) for a in found.arrays] == [("0", 2), ("1", 4)]
    assert found.path == "histograms/step-00000001.json"


@pytest.mark.parametrize("values", [["a"], {"a": 1}, [[1], [1, 2]], object()])
def test_what_holds_no_numbers_is_refused(values):
    with pytest.raises(EvidenceError, match="holds no numbers"):
        array_histogram(values, name="w", of="weight")


@pytest.mark.parametrize("step", [-1, 1.5, "3", True, None])
def test_a_step_is_a_count(step):
    with pytest.raises(EvidenceError, match="is no step"):
        step_histograms({}, step=step)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"version": 2, "step": 1, "arrays": []},
        {"version": 1, "step": "1", "arrays": []},
        {"version": 1, "step": 1, "arrays": [{}]},
        {"version": 1, "step": 1, "arrays": [{"counts": 3}]},
    ],
)
def test_what_is_no_artifact_of_ours_is_refused(document):
    with pytest.raises(EvidenceError, match="holds no histograms"):
        read_histograms(document)


def test_counts_that_do_not_add_up_are_refused():
    document = step_histograms({"w": [1.0, 2.0]}, step=1).document
    assert read_histograms(document).document == document
    document["arrays"][0]["counts"][0] += 1
    with pytest.raises(EvidenceError):
        read_histograms(document)


numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)
some = arrays(np.float64, st.integers(0, 30), elements=numbers)


@settings(max_examples=100, deadline=None)
@given(some, some)
def test_whatever_the_numbers_they_are_counted_kept_and_drawn(before, after):
    first = step_histograms({"w": before}, step=0)
    last = step_histograms({"w": after, "new": before}, step=7, gradients={"w": after})
    for found, values in ((first.arrays[0], before), (last.arrays[0], after)):
        assert (found.size, sum(found.counts) + found.not_finite) == (len(values), len(values))
        finite = values[np.isfinite(values)]
        if len(finite):
            assert (found.low, found.high) == (finite.min(), finite.max())
    assert read_histograms(json.loads(json.dumps(last.document))) == last
    drawn = histogram_pictures(first, last)
    assert set(drawn) == {"weights", "gradients"}
    for svg in drawn.values():
        ET.fromstring(svg)
        assert "nan" not in svg
        assert "inf" not in svg


def test_many_arrays_are_a_picture_still():
    found = step_histograms({f"layer{n}": np.arange(n + 1.0) for n in range(60)}, step=5)
    svg = histogram_pictures(found, found)["weights"]
    assert "42 smaller arrays are not shown" in svg
    assert "layer59" in svg
    assert "line: step" not in svg
