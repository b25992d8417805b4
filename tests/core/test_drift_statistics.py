"""Every statistic of drift beside scipy's, on data of every awkward shape."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airflow_ai_provider.core.quality.drift.bins import Bins
from airflow_ai_provider.core.quality.drift.distances import distances
from airflow_ai_provider.core.quality.drift.numbers import Sample, Sketch
from airflow_ai_provider.core.quality.drift.shares import (
    LEAST_SHARE,
    chi_squared,
    jensen_shannon,
    population_stability,
)
from airflow_ai_provider.core.quality.drift.tails import chi_squared_tail, ks_tail

stats = pytest.importorskip("scipy.stats")
spatial = pytest.importorskip("scipy.spatial.distance")

close = lambda value: pytest.approx(value, rel=1e-7, abs=1e-12)  # noqa: E731

ORDINARY = st.floats(-1e6, 1e6, allow_nan=False, width=32)
TIED = st.integers(-3, 3).map(float)
ENDLESS = st.sampled_from([-math.inf, -1.0, 0.0, 0.0, 2.5, math.inf])
WHOLE = st.integers(-(2**52), 2**52)
samples = st.one_of(
    *(st.lists(values, min_size=1, max_size=60) for values in (ORDINARY, TIED, ENDLESS, WHOLE)),
    st.tuples(st.sampled_from([0.0, 1.0, -5.5]), st.integers(1, 40)).map(lambda t: [t[0]] * t[1]),
)


def sample(values: Any) -> Sample:
    return Sample.of(np.asarray(values))


@settings(max_examples=400, deadline=None)
@given(samples, samples)
def test_ks_is_scipys(mine: list[float], theirs: list[float]) -> None:
    found = distances(sample(mine), sample(theirs))
    assert found is not None
    said = stats.ks_2samp(mine, theirs, method="asymp")
    assert found.ks == pytest.approx(said.statistic, abs=1e-12)
    if not math.isnan(said.pvalue):  # scipy's for one value on each side
        assert found.ks_p_value == close(said.pvalue)


@settings(max_examples=400, deadline=None)
@given(samples, samples)
def test_wasserstein_is_scipys_wherever_scipy_has_one(
    mine: list[float], theirs: list[float]
) -> None:
    found = distances(sample(mine), sample(theirs))
    assert found is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinity less infinity
        said = stats.wasserstein_distance(mine, theirs)
    if math.isnan(said):
        assert any(math.isinf(v) for v in (*mine, *theirs))
    else:
        assert found.wasserstein == pytest.approx(said, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("others", [7, 4_096, 4_097, 30_011])
def test_long_samples_are_merged_in_parts_as_if_in_one(others: int) -> None:
    generator = np.random.default_rng(others)
    for mine, theirs in (
        (generator.normal(size=25_000), generator.normal(0.2, 1, others)),
        (np.round(generator.normal(size=25_000), 1), np.round(generator.normal(size=others), 1)),
        (np.zeros(25_000), np.r_[np.zeros(others), 1.0]),
        (generator.random(25_000), 5 + generator.random(others)),
        (np.r_[-np.inf, generator.random(25_000)], np.r_[generator.random(others), np.inf, 3]),
        (generator.integers(0, 9, 25_000), generator.integers(0, 90_000_000, others)),
    ):
        found = distances(sample(mine), sample(theirs))
        assert found is not None
        assert found.ks == close(stats.ks_2samp(mine, theirs, method="asymp").statistic)
        assert found.wasserstein == close(stats.wasserstein_distance(mine, theirs))


def test_wasserstein_with_infinities_is_infinite_unless_their_shares_are_equal() -> None:
    some = distances(sample([0.0, math.inf]), sample([1.0, math.inf]))
    more = distances(sample([0.0, math.inf]), sample([1.0, 1.0, math.inf]))
    assert some is not None
    assert more is not None
    assert some.wasserstein == 0.5
    assert more.wasserstein == math.inf


counts = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 5_000), min_size=n, max_size=n).filter(any),) * 2)
)


@settings(max_examples=300, deadline=None)
@given(counts)
def test_jensen_shannon_is_scipys(pair: tuple[list[int], list[int]]) -> None:
    said = spatial.jensenshannon(*pair, base=2)
    assert jensen_shannon(*pair) == pytest.approx(0.0 if math.isnan(said) else said, abs=1e-7)


@settings(max_examples=300, deadline=None)
@given(counts)
def test_chi_squared_is_scipys(pair: tuple[list[int], list[int]]) -> None:
    table = np.array(pair)
    said = stats.chi2_contingency(table[:, table.sum(axis=0) > 0])
    found = chi_squared(*pair)
    assert found is not None
    assert found.statistic == close(said.statistic)
    assert found.p_value == pytest.approx(said.pvalue, rel=1e-7, abs=1e-200)


@given(counts)
def test_psi_is_jeffreys_divergence_where_no_bin_is_empty(
    pair: tuple[list[int], list[int]],
) -> None:
    p, q = (np.array(side) + 5_000 for side in pair)  # every share is above the least one
    said = stats.entropy(p, q) + stats.entropy(q, p)
    assert population_stability(p, q) == pytest.approx(said, abs=1e-9)


def test_an_empty_bin_counts_as_the_least_share() -> None:
    expected = (1 - LEAST_SHARE) * math.log(1 / LEAST_SHARE) * 2
    assert population_stability([10, 0], [0, 10]) == pytest.approx(expected)


def test_a_side_without_rows_has_no_statistic() -> None:
    assert population_stability([0, 0], [1, 2]) is None
    assert jensen_shannon([1, 2], [0, 0]) is None
    assert chi_squared([], []) is None
    assert distances(sample([]), sample([1.0])) is None
    assert distances(sample([1.0]), sample([])) is None


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 99, 1_000, 20_000])
def test_the_tail_of_chi_squared_is_scipys(freedom: int) -> None:
    for part in (0.0, 0.01, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0, math.inf):
        said = stats.chi2.sf(part * freedom, freedom)
        assert chi_squared_tail(part * freedom, freedom) == pytest.approx(
            said, rel=1e-8, abs=1e-250
        )


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 50, 278, 280, 282, 400, 9_999, 200_001, 2_100_000])
def test_the_tail_of_kolmogorovs_distance_is_scipys(rows: int) -> None:
    effective = round(rows / 2)
    for z in (0.0, 0.05, 0.2, 0.45, 0.8, 1.0, 1.3, 1.48, 1.5, 2.0, 2.1, 4.0, 12.0, 20.0):
        distance = min(1.0, z / math.sqrt(rows / 2))
        said = stats.kstwo.sf(distance, effective) if effective else 1.0
        assert ks_tail(distance, rows, rows) == pytest.approx(said, rel=1e-6, abs=1e-280)


sketched = st.one_of(
    arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e3, 1e3, width=32)),
    st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).standard_cauchy(7_001)),
    st.integers(0, 2**32).map(
        lambda seed: np.round(np.random.default_rng(seed).lognormal(3, 2, 9_973), 1)
    ),
    st.integers(0, 2**32).map(
        lambda seed: np.r_[
            np.random.default_rng(seed).normal(0, 5, 6_000), [np.inf, -np.inf], np.zeros(4_000)
        ]
    ),
)


@settings(max_examples=60, deadline=None)
@given(sketched, sketched)
def test_a_sketch_gives_the_same_within_the_error_it_states(mine: Any, theirs: Any) -> None:
    reference, now = sample(mine), sample(theirs)
    sketch = Sketch.of(reference)
    exact, found = distances(reference, now), distances(sketch, now)
    assert exact is not None
    assert found is not None
    assert sketch.gaps.max(initial=0) / sketch.count <= 1 / 1_000
    assert found.ks_error <= 1 / 1_000
    p_value = found.ks_p_value - found.ks_p_value_error - 1e-12
    assert p_value <= exact.ks_p_value <= found.ks_p_value + 1e-12
    assert found.ks - 1e-12 <= exact.ks <= found.ks + found.ks_error + 1e-12
    if math.isinf(exact.wasserstein):
        assert math.isinf(found.wasserstein)
    else:
        slack = found.wasserstein_error + 1e-9 * (1 + exact.wasserstein)
        assert abs(exact.wasserstein - found.wasserstein) <= slack
    if sketch.exact:
        assert (found.ks_error, found.wasserstein_error) == (0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(sketched, sketched)
def test_bins_of_a_sketch_are_exact(mine: Any, theirs: Any) -> None:
    reference, now = sample(mine), sample(theirs)
    sketch = Sketch.of(reference)
    exact, found = Bins.of(reference), Bins.of(sketch)
    assert exact.values.tolist() == found.values.tolist()
    assert exact.counts(reference).tolist() == found.counts(sketch).tolist()
    assert exact.counts(now).tolist() == found.counts(now).tolist()
    assert exact.counts(now).sum() == now.count


def test_a_bin_holds_a_tenth_and_a_frequent_value_has_its_own() -> None:
    even = sample(np.arange(1_000.0))
    assert Bins.of(even).counts(even).tolist() == [100] * 10
    zeros = sample(np.r_[np.zeros(500), np.arange(1.0, 501.0)])
    bins = Bins.of(zeros)
    assert bins.counts(zeros).tolist() == [0, 500, 100, 100, 100, 100, 100]
    assert bins.counts(sample([-1.0] * 10)).tolist() == [10, 0, 0, 0, 0, 0, 0]


def test_a_constant_reference_notices_another_constant() -> None:
    bins = Bins.of(sample([4.0] * 100))
    mine = bins.counts(sample([4.0] * 100))
    for other in (3.0, 5.0):
        psi = population_stability(mine, bins.counts(sample([other] * 100)))
        assert psi is not None
        assert psi > 10
    assert population_stability(mine, bins.counts(sample([4.0] * 7))) == 0


def test_quantiles_are_the_inverted_distribution_function() -> None:
    values = np.random.default_rng(5).normal(size=977)
    for parts in (2, 10, 100):
        shares = np.arange(1, parts) / parts
        said = np.quantile(values, shares, method="inverted_cdf")
        assert sample(values).quantiles(parts).tolist() == said.tolist()
