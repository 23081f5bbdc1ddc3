"""Intervals and tests: cases worked by hand, all exchanges enumerated, scipy on the same data, error rates."""

import itertools

import numpy as np
import pytest
import scipy.stats

from espret.scoring.statistics import significance
from espret.scoring.statistics.significance import (
    Floats,
    Values,
    bootstrap,
    bootstrap_p,
    interval,
    randomisation_p,
    randomise,
    weighted_medians,
    welch_p,
)


def mean_of(items: Floats) -> Values:
    return lambda weights: weights @ items / len(items)


def exchanged(first: Floats, second: Floats) -> Values:
    return lambda swaps: (1 - 2 * swaps) @ (second - first) / len(first)


def every_exchange(clips: int) -> Floats:
    return np.array(list(itertools.product([0.0, 1.0], repeat=clips)))


def test_p_values_worked_by_hand() -> None:
    # Four of five are as far from 0 as the 2 that was observed, one sign as good as the other: (4 + 1) / (5 + 1).
    assert randomisation_p(np.array([2.0, -2.0, 3.0, -1.0, -2.5]), np.array(2.0)) == pytest.approx(5 / 6)
    # Of the bootstrap, distances from the observed 2 count: 2, 0, 3, 1, 1; two of five are 2 or more.
    assert bootstrap_p(np.array([0.0, 2.0, 5.0, 1.0, 3.0]), np.array(2.0)) == pytest.approx(3 / 6)
    # No difference at all, and a difference that never comes up by chance.
    assert randomisation_p(np.zeros(9), np.array(0.0)) == 1
    assert randomisation_p(np.zeros(9), np.array(1.0)) == pytest.approx(1 / 10)


def test_p_values_of_several_metrics_at_once() -> None:
    differences = np.array([[1.0, 0.0], [-3.0, 0.0], [0.5, 1.0]])
    assert randomisation_p(differences, np.array([1.0, 1.0])) == pytest.approx([3 / 4, 2 / 4])


def test_rounding_does_not_decide() -> None:
    observed = 0.1 + 0.2  # a last digit more than 0.3
    assert randomisation_p(np.array([0.3, -0.3, 0.1]), np.array(observed)) == pytest.approx(3 / 4)


def test_all_exchanges_of_equal_differences() -> None:
    first, second = np.zeros(5), np.ones(5)
    hits = np.abs(exchanged(first, second)(every_exchange(5))) >= 1 - 1e-12
    assert hits.sum() == 2  # none exchanged, all exchanged
    found = randomisation_p(randomise(exchanged(first, second), 5, 20_000, 0), np.array(1.0))
    assert found == pytest.approx(2 / 32, abs=4 * np.sqrt(2 / 32 * 30 / 32 / 20_000))


@pytest.mark.parametrize("clips", [2, 4, 7, 10])
def test_randomisation_against_all_exchanges(clips: int) -> None:
    first, second = np.random.default_rng(clips).standard_normal((2, clips))
    observed = np.array((second - first).mean())
    everything = exchanged(first, second)(every_exchange(clips))
    exact = np.mean(np.abs(everything) >= abs(observed) - 1e-12)
    found = randomisation_p(randomise(exchanged(first, second), clips, 20_000, 1), observed)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_randomisation_agrees_with_scipy() -> None:
    draw = np.random.default_rng(3)
    first = draw.random(40)
    second = first + 0.05 + 0.2 * draw.standard_normal(40)
    observed = np.array((second - first).mean())
    ours = randomisation_p(randomise(exchanged(first, second), 40, 20_000, 2), observed)
    theirs = scipy.stats.permutation_test(
        (second, first),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(4),
    ).pvalue
    assert 0.02 < theirs < 0.8
    assert ours == pytest.approx(theirs, abs=4 * np.sqrt(2 * theirs * (1 - theirs) / 20_000))


def test_bootstrap_agrees_with_scipy() -> None:
    items = np.random.default_rng(5).exponential(size=200)
    ours = interval(bootstrap(mean_of(items), 200, 20_000, 0), 0.9)
    theirs = scipy.stats.bootstrap(
        (items,),
        np.mean,
        method="percentile",
        confidence_level=0.9,
        n_resamples=20_000,
        rng=np.random.default_rng(6),
    ).confidence_interval
    # The standard error of such a quantile is near 2 % of that of the mean.
    assert ours == pytest.approx(tuple(theirs), abs=0.1 * items.std() / np.sqrt(200))
    assert ours[0] < items.mean() < ours[1]


def test_bootstrap_p_follows_the_normal_approximation() -> None:
    draw = np.random.default_rng(7)
    items = draw.standard_normal(400)
    items += 2 * items.std() / np.sqrt(400) - items.mean()  # two standard errors from 0
    p = bootstrap_p(bootstrap(mean_of(items), 400, 20_000, 1), np.array(items.mean()))
    assert p == pytest.approx(2 * scipy.stats.norm.sf(2), abs=0.006)


def test_what_is_drawn() -> None:
    drawn = bootstrap(lambda counts: counts, 7, 3000, 0)
    assert drawn.shape == (3000, 7) and (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.08)
    swaps = randomise(lambda swap: swap, 7, 3000, 0)
    assert set(np.unique(swaps)) == {0.0, 1.0}
    assert swaps.mean(axis=0) == pytest.approx(np.full(7, 0.5), abs=0.05)


@pytest.mark.parametrize("draw", [bootstrap, randomise])
def test_equal_seeds_give_equal_numbers(draw: object) -> None:
    assert callable(draw)
    one, again, other = (draw(lambda weights: weights, 9, 50, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()


def test_blocks_make_up_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "BLOCK", 20)
    sizes: list[int] = []

    def values(weights: Floats) -> Floats:
        sizes.append(len(weights))
        return weights.sum(axis=1)

    assert bootstrap(values, 6, 10, 0).tolist() == [6] * 10
    assert sizes == [3, 3, 3, 1]


@pytest.mark.parametrize("window", [1, 16])
def test_weighted_medians_are_those_of_the_drawn_values(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "WINDOW", window)
    draw = np.random.default_rng(8)
    for size in (2, 5, 60):
        owner = np.concatenate([np.arange(size), draw.integers(0, size, 3 * size)])
        values = draw.integers(1, 500, len(owner)).astype(np.float64)
        copies = draw.integers(1, 4, len(owner))
        weights = draw.multinomial(size, [1 / size] * size, 40).astype(np.float64)
        expected = [np.median(np.repeat(values, (row[owner] * copies).astype(int))) for row in weights]
        assert weighted_medians(weights, values, owner, copies).tolist() == expected


def test_weighted_medians_far_from_the_middle() -> None:
    values, everyone = np.arange(200.0), np.arange(200)
    weights = np.zeros((1, 200))
    for place in (199, 0):
        weights[:] = 0
        weights[0, place] = 5
        assert weighted_medians(weights, values, everyone, np.ones(200, dtype=np.int64)).tolist() == [place]


def test_welch_agrees_with_scipy() -> None:
    first, second = [0.31, 0.29, 0.33], [0.35, 0.36, 0.31, 0.37]
    assert welch_p(first, second) == pytest.approx(scipy.stats.ttest_ind(first, second, equal_var=False).pvalue)


def test_welch_needs_three_runs_that_vary() -> None:
    assert welch_p([0.1, 0.2], [0.3, 0.4, 0.5]) is None
    assert welch_p([0.1, 0.1, 0.1], [0.2, 0.2, 0.2]) is None
    assert welch_p([0.1, 0.1, 0.1], [0.2, 0.2, 0.3]) is not None


def test_refusals() -> None:
    for draw in (bootstrap, randomise):
        with pytest.raises(ValueError, match="1 clips cannot be resampled"):
            draw(lambda weights: weights, 1, 10, 0)
        with pytest.raises(ValueError, match="0 resamples"):
            draw(lambda weights: weights, 5, 0, 0)
    with pytest.raises(ValueError, match="does not lie between 0 and 1"):
        interval(np.zeros(3), 95)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw = np.random.default_rng(9)
    held = 0
    for trial in range(500):
        items = draw.exponential(size=100)
        low, high = interval(bootstrap(mean_of(items), 100, 400, trial), 0.95)
        held += bool(low <= 1 <= high)
    # The percentile interval of the mean of 100 skewed values holds it in 93 to 94 % of cases; 4 standard errors.
    assert 0.89 <= held / 500 <= 0.975


def test_tests_reject_equal_systems_as_rarely_as_they_say() -> None:
    draw = np.random.default_rng(10)
    p_values = []
    for trial in range(500):
        first, second = draw.gamma(2, size=(2, 60)) + draw.random(60)
        observed = np.array((second - first).mean())
        boot = bootstrap_p(bootstrap(mean_of(second - first), 60, 400, trial), observed)
        p_values.append((boot, randomisation_p(randomise(exchanged(first, second), 60, 400, trial), observed)))
    rejected = (np.array(p_values) <= 0.05).mean(axis=0)
    assert (rejected < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 500)).all()
    assert (rejected > 0.01).all()
