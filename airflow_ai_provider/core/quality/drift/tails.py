"""How likely a statistic this large is by chance: the tails of two distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ENOUGH = 1e-16  # a term this small, relative to the sum, changes nothing
_MOST_TERMS = 100_000
_SMALL = 140  # up to here the Kolmogorov distribution is cheap to have exactly
_TERMS = 10_000  # of Smirnov's sum, enough for every digit
_SUMMED = 1_000_000  # up to here Smirnov's sum is taken


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """Return the probability that chi-squared with ``freedom`` degrees is above ``statistic``.

    The regularized upper incomplete gamma function Q(freedom / 2, statistic / 2): by its series
    (DLMF 8.7.1) below the mean, by its continued fraction (DLMF 8.9.2, Lentz's method) above it.
    """
    if freedom <= 0 or statistic <= 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0
    a, x = freedom / 2, statistic / 2
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1.0 - scale * _gamma_series(a, x))
    return min(1.0, scale * _gamma_fraction(a, x))


def _gamma_series(a: float, x: float) -> float:
    term = total = 1 / a
    for k in range(1, _MOST_TERMS):
        term *= x / (a + k)
        total += term
        if term < total * _ENOUGH:
            break
    return total


def _gamma_fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    fraction = d
    for k in range(1, _MOST_TERMS):
        numerator = -k * (k - a)
        b += 2
        d = 1 / (_away_from_zero(numerator * d + b, tiny))
        c = _away_from_zero(b + numerator / c, tiny)
        fraction *= d * c
        if abs(d * c - 1) < _ENOUGH * 10:
            break
    return fraction


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def ks_tail(distance: float, rows: int, others: int) -> float:
    """Return the p-value of the two-sample Kolmogorov-Smirnov statistic ``distance``.

    As ``scipy.stats.ks_2samp(method="asymp")``: the two-sided one-sample distribution for
    n = rows * others / (rows + others), rounded. Two samples of so few rows that n would be 0 can
    tell nothing: 1.
    """
    effective = round(rows * others / (rows + others))
    return 1.0 if effective < 1 else min(1.0, max(0.0, _kolmogorov(effective, distance)))


def _kolmogorov(n: int, x: float) -> float:
    """Return P(D_n >= x), by the selection of Simard and L'Ecuyer (2011), J. Stat. Softw. 39(11).

    Durbin's matrix where it is exact and cheap, twice Smirnov's one-sided tail where D+ and D-
    hardly exceed together, and the Pelz-Good series (1976) between.
    """
    if x >= 1:
        return 0.0
    if n * x <= 0.5:
        return 1.0
    spread = n * x * x
    if x >= 0.5 or (n <= _SMALL and spread > 4) or (n > _SMALL and spread >= 2.2):
        return 0.0 if spread >= 370 else 2 * _smirnov(n, x)
    if n <= _SMALL or (n <= 100_000 and n * x**1.5 <= 1.4):
        return 1 - _durbin(n, x)
    return _pelz_good(n, x)


def _smirnov(n: int, x: float) -> float:
    """Return P(D+ >= x): Smirnov's (1944) sum, in logarithms; for large n its expansion.

    Of a long sum every k-th term is taken, k times: the terms are those of a smooth function that
    vanishes at both ends, for which the trapezoidal rule is as good as exact.
    """
    if n > _SUMMED:
        return math.exp(-((6 * n * x + 1) ** 2) / (18 * n))  # Maag and Dicaire (1971)
    last = math.floor(n * (1 - x))
    every = max(1, n // _TERMS)
    j = np.arange(0, last + 1, every, dtype=np.float64)
    rest = 1 - x - j / n
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(j == n, 0.0, (n - j) * np.log(rest))
        terms = _log_choose(n, j) + (j - 1) * np.log(x + j / n) + powers
    terms[~(rest > 0) & (j != n)] = -np.inf
    return float(x * np.exp(terms).sum() * every)


def _log_choose(n: int, j: Any) -> Any:
    """Return the logarithm of n over each of ``j``, by Stirling's series where that is exact."""
    if n <= _TERMS:
        return np.r_[0.0, np.cumsum(np.log((n - j[:-1]) / (j[:-1] + 1)))]
    return _log_factorial(np.float64(n)) - _log_factorial(j) - _log_factorial(n - j)


def _log_factorial(m: Any) -> Any:
    m = np.maximum(m, 1.0)
    series = 1 / (12 * m) - 1 / (360 * m**3) + 1 / (1260 * m**5)
    return m * np.log(m) - m + np.log(2 * np.pi * m) / 2 + series


def _durbin(n: int, x: float) -> float:
    """Return P(D_n < x): Marsaglia, Tsang and Wang (2003), J. Stat. Softw. 8(18), on Durbin (1973).

    The entry of a matrix to the n-th power; each power is scaled so that none overflows.
    """
    k = math.floor(n * x) + 1
    h = k - n * x
    size = 2 * k - 1
    matrix = np.tri(size, size, 1)
    powers = h ** np.arange(1, size + 1)
    matrix[:, 0] -= powers
    matrix[-1, :] -= powers[::-1]
    matrix[-1, 0] += max(2 * h - 1, 0.0) ** size
    rows, columns = np.indices((size, size))
    order = rows - columns + 1
    factorials = np.array([math.lgamma(i + 1) for i in range(size + 2)])
    matrix *= np.where(order > 0, np.exp(-factorials[np.maximum(order, 0)]), 1.0)
    power, exponent = _power(matrix, n)
    log_factorial = math.lgamma(n + 1) - n * math.log(n)
    entry = float(power[k - 1, k - 1])
    return math.exp(math.log(entry) + exponent + log_factorial) if entry > 0 else 0.0


def _power(matrix: Any, n: int) -> tuple[Any, float]:
    """Return ``matrix`` to the power ``n`` as a matrix and the logarithm of its scale."""
    result, result_log = np.eye(len(matrix)), 0.0
    base, base_log = matrix, 0.0
    while n:
        if n & 1:
            result, result_log = result @ base, result_log + base_log
            result, result_log = _scaled(result, result_log)
        base, base_log = _scaled(base @ base, 2 * base_log)
        n >>= 1
    return result, result_log


def _scaled(matrix: Any, log: float) -> tuple[Any, float]:
    largest = float(np.abs(matrix).max())
    return (matrix / largest, log + math.log(largest)) if largest > 0 else (matrix, log)


def _pelz_good(n: int, x: float) -> float:
    """Return P(D_n >= x) by the expansion of Pelz and Good (1976), J. R. Stat. Soc. B 38(2)."""
    z = math.sqrt(n) * x
    z2, z4, z6 = z**2, z**4, z**6
    if math.pi**2 / 8 / z2 > 700:
        return 1.0
    p2, p4, p6 = math.pi**2, math.pi**4, math.pi**6
    m2 = np.arange(1, 2 * math.ceil(16 * z / math.pi) + 2, 2, dtype=np.float64) ** 2
    q = np.exp(-m2 * p2 / (8 * z2))
    k2 = np.arange(1, math.ceil(16 * z / math.pi) + 2, dtype=np.float64) ** 2
    r = np.exp(-k2 * p2 / (2 * z2))
    root = math.sqrt(2 * math.pi)
    first = root / z * q.sum()
    second = root / (6 * z4) * ((-z2 + p2 / 4 * m2) * q).sum()
    third = (
        root
        / (72 * z**7)
        * (
            (6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * p2 / 4 * m2 + p4 * (1 - 2 * z2) / 16 * m2**2) * q
        ).sum()
        - root * p2 / (36 * z**3) * (k2 * r).sum()
    )
    fourth = (
        root
        / (6480 * z**10)
        * (
            (
                -30 * z6
                - 90 * z**8
                + p2 * (135 * z4 - 96 * z6) / 4 * m2
                + p4 * (212 * z4 - 60 * z2) / 16 * m2**2
                + p6 * (5 - 30 * z2) / 64 * m2**3
            )
            * q
        ).sum()
        + root * p2 / (216 * z6) * ((3 * z2 - p2 * k2) * k2 * r).sum()
    )
    below = first + second / math.sqrt(n) + third / n + fourth / n**1.5
    return float(1 - below)
