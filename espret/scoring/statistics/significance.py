"""Intervals and tests for the values of test sets: bootstrap, approximate randomisation, Welch's t. Arrays in and out.

The unit of resampling is the clip. A set's value under a resample is a function of weights, one a clip: how often the
clip was drawn, or whether it was exchanged. Knows no metric and reads no file; `compare` does.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), for the percentile interval and the test that
shifts the bootstrap's distribution to the null hypothesis; Koehn (2004), Statistical significance tests for machine
translation evaluation, for pairing; Noreen, Computer-intensive methods for testing hypotheses (1989), for approximate
randomisation; Riezler and Maxwell (2005), On some pitfalls in automatic evaluation and significance testing for MT,
for both tests on metrics that are no means of items.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = Callable[[Floats], Floats]  # weights [resamples, clips] -> values [resamples, ...]

BLOCK = 1 << 20  # weights worked on at a time
WINDOW = 16  # distinct values on each side of the median that are looked at first
ROUNDING = 1e-9  # relative: differences that are equal but for rounding count as equal
MIN_RUNS = 3  # of each system, below which the spread over runs says too little for a test


def bootstrap(values: Values, clips: int, resamples: int, seed: int) -> Floats:
    """`values` of `resamples` samples of the clips, drawn with replacement. [resamples, ...]

    `values` is given the number of times that each clip was drawn, [some of the resamples, clips]. The draws depend on
    `clips`, `resamples` and `seed` only: whatever is computed in one call or with equal arguments is paired. Raises
    ValueError for fewer than two clips or no resamples.
    """
    draw = _generator(seed, 0, clips, resamples)
    return np.concatenate([values(_counts(draw, rows, clips)) for rows in _blocks(resamples, clips)])


def randomise(values: Values, clips: int, resamples: int, seed: int) -> Floats:
    """`values` of `resamples` random exchanges between two systems, each clip with probability 1/2. [resamples, ...]

    `values` is given 1 where the clip's outputs are exchanged, else 0, [some of the resamples, clips]. Raises
    ValueError as `bootstrap` does.
    """
    draw = _generator(seed, 1, clips, resamples)
    swaps = (draw.integers(0, 2, (rows, clips), dtype=np.int8) for rows in _blocks(resamples, clips))
    return np.concatenate([values(swap.astype(np.float64)) for swap in swaps])


def interval(samples: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The percentile interval of bootstrap values [resamples, ...]: its lower and upper ends [...].

    Raises ValueError when `confidence` does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} does not lie between 0 and 1")
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def bootstrap_p(differences: Floats, observed: Floats) -> Floats:
    """Two-sided p of the paired bootstrap, from differences [resamples, ...] and the observed ones [...].

    The distribution of the differences, moved so that it is centred on 0, stands for the null hypothesis: a hit is a
    resample at least as far from the observed difference as that is from 0. p = (hits + 1) / (resamples + 1).
    """
    return _p(differences - observed, observed)


def randomisation_p(differences: Floats, observed: Floats) -> Floats:
    """Two-sided p of approximate randomisation, from differences after exchanges [resamples, ...] and observed [...].

    A hit is an exchange that leaves a difference at least as large as the observed one, of either sign.
    p = (hits + 1) / (resamples + 1).
    """
    return _p(differences, observed)


def welch_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p of Welch's t-test on the values of independent runs of two systems.

    None with fewer than MIN_RUNS runs of either, and when neither system's value varies.
    """
    if min(len(first), len(second)) < MIN_RUNS:
        return None
    from scipy.special import stdtr  # takes time to load, and most comparisons have one run

    parts = [statistics.variance(runs) / len(runs) for runs in (first, second)]
    if sum(parts) == 0:
        return None
    t = (statistics.fmean(second) - statistics.fmean(first)) / math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(runs) - 1) for part, runs in zip(parts, (first, second)))
    return float(2 * stdtr(freedom, -abs(t)))


def weighted_medians(weights: Floats, values: Floats, owner: Ints, copies: Ints) -> Floats:
    """Medians of `values` [m], value i taken weights[r, owner[i]] * copies[i] times. [resamples]

    `weights` [resamples, clips] are whole numbers, `owner` names each value's clip. As with numpy.median, an even
    number of values has the mean of the middle two.
    """
    distinct, place = np.unique(values, return_inverse=True)
    total = weights @ np.bincount(owner, copies, weights.shape[1])
    middle = int(np.searchsorted(distinct, np.median(values)))
    reach = WINDOW
    while True:
        low, high = max(0, middle - reach), min(len(distinct), middle + reach + 1)
        twice = 2 * (weights @ _up_to(place, low, high, owner, copies, weights.shape[1]))
        if (low == 0 or (twice[:, 0] < total).all()) and (high == len(distinct) or (twice[:, -1] > total).all()):
            break
        reach *= 4  # the median of some resample lies outside
    lower = distinct[low + (twice >= total[:, None]).argmax(axis=1)]
    upper = distinct[low + (twice > total[:, None]).argmax(axis=1)]
    medians: Floats = (lower + upper) / 2
    return medians


def _up_to(place: Ints, low: int, high: int, owner: Ints, copies: Ints, clips: int) -> Floats:
    """How many of each clip's values have a place up to low, low + 1, ..., high - 1. [clips, high - low]"""
    columns = high - low + 1  # one more, for those beyond
    cells = owner * columns + np.clip(place - low, 0, columns - 1)
    counts = np.bincount(cells, copies, clips * columns).reshape(clips, columns)
    return np.cumsum(counts, axis=1, dtype=np.float64)[:, :-1]


def _p(null: Floats, observed: Floats) -> Floats:
    size = np.abs(null)
    # Equal differences are sums of the same numbers in another order: their last digits must not decide.
    hits = np.count_nonzero(size >= np.abs(observed) - ROUNDING * size.max(axis=0), axis=0)
    p: Floats = (np.asarray(hits) + 1) / (len(null) + 1)
    return p


def _generator(seed: int, stream: int, clips: int, resamples: int) -> np.random.Generator:
    if clips < 2:
        raise ValueError(f"{clips} clips cannot be resampled: expected two or more")
    if resamples < 1:
        raise ValueError(f"{resamples} resamples: expected one or more")
    return np.random.default_rng([seed, stream])


def _counts(draw: np.random.Generator, rows: int, clips: int) -> Floats:
    drawn = draw.integers(0, clips, (rows, clips)) + clips * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * clips).reshape(rows, clips).astype(np.float64)


def _blocks(resamples: int, clips: int) -> Iterator[int]:
    """Numbers of resamples that add up to `resamples`, so that a block has about BLOCK weights."""
    step = max(1, BLOCK // clips)
    for first in range(0, resamples, step):
        yield min(step, resamples - first)
