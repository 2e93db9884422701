"""Intervals of means over prompts: how often they hold the truth, and when there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter

from eval.statistics.intervals import (
    mean_interval,
    mean_intervals,
    prompt_means,
    skewed_t,
    two_level_interval,
)

NAN = float("nan")
RUNS = 20_000

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def zeros_or(share: float, draw: Draw) -> Draw:
    """Scores that are zero with chance `share`, else drawn."""
    return lambda rng, shape: np.where(rng.random(shape) < share, 0.0, draw(rng, shape))


def lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.lognormal(0, 1, shape)


def exponential(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.exponential(1, shape)


ROOT = float(np.exp(0.5))  # the mean of lognormal
SCORES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "exponential": (exponential, 1.0),
    "lognormal": (lognormal, ROOT),
    "skewed to the left": (lambda rng, shape: -lognormal(rng, shape), -ROOT),
    "half zeros, exponential": (zeros_or(0.5, exponential), 0.5),
    "half zeros, lognormal": (zeros_or(0.5, lognormal), 0.5 * ROOT),
    "80 % zeros, exponential": (zeros_or(0.8, exponential), 0.2),
    "80 % zeros, lognormal": (zeros_or(0.8, lognormal), 0.2 * ROOT),
    "80 % zeros, shares": (zeros_or(0.8, lambda rng, shape: rng.beta(2, 3, shape)), 0.08),
}


def clustered(
    rng: np.random.Generator, runs: int, prompts: int, seeds: int = 1, views: int = 120
) -> np.ndarray:
    """Scores (runs, P, S, V) of mean 0: prompt sd 3, seed sd 1, view sd 2 with neighbors correlated .95."""
    noise = rng.standard_normal((runs, prompts, seeds, views))
    along_orbit = lfilter([np.sqrt(1 - 0.95**2)], [1, -0.95], noise, axis=-1)
    prompt = 3 * rng.standard_normal((runs, prompts, 1, 1))
    return prompt + rng.standard_normal((runs, prompts, seeds, 1)) + 2 * along_orbit


def coverage(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    """Share of the intervals that are given which hold the truth."""
    given = ~np.isnan(low)
    return float(((low <= truth) & (truth <= high))[given].mean())


@pytest.mark.parametrize("prompts", [6, 12, 24, 40])
@pytest.mark.parametrize("kind", SCORES)
def test_95_percent_intervals_hold_the_truth_in_at_least_93_of_100_runs(kind: str, prompts: int) -> None:
    draw, truth = SCORES[kind]
    scores = draw(np.random.default_rng(prompts), (RUNS, prompts))
    assert coverage(*skewed_t(scores), truth) >= 0.93 - 0.0018  # one Monte-Carlo standard error


@pytest.mark.parametrize(("prompts", "widest"), [(6, 1.9), (12, 1.3), (24, 1.1), (40, 1.05)])
def test_the_price_in_width_for_normal_scores_is_as_documented(prompts: int, widest: float) -> None:
    scores = np.random.default_rng(prompts).standard_normal((RUNS, prompts))
    low, high = skewed_t(scores)
    plain = 2 * stats.t.ppf(0.975, prompts - 1) * scores.std(1, ddof=1) / np.sqrt(prompts)
    assert 1 < (high - low).mean() / plain.mean() < widest


def test_symmetric_scores_get_students_t_and_the_longer_tail_the_longer_side() -> None:
    values = np.array([-3.0, -1, 0, 1, 3, 0])
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((theirs.low, theirs.high))
    skewed = np.array([0.0, 0, 0, 0, 0, 6])
    theirs = stats.ttest_1samp(skewed, 0).confidence_interval(0.95)
    low, high = mean_interval(skewed)
    assert low == pytest.approx(theirs.low) and high > 2 * theirs.high
    quantile, skewness = stats.t.ppf(0.975, 5), stats.skew(skewed)
    longer = (1 + 48 / 6) * skewness / (6 * np.sqrt(6)) * (1 + 2 * quantile**2)  # Johnson's, nine times
    assert high == pytest.approx(1 + quantile + longer)  # the mean is 1, and so is its standard error
    assert mean_interval(-skewed) == pytest.approx((-high, -low))


def test_intervals_move_and_scale_with_their_scores_and_widen_with_the_level() -> None:
    values = np.random.default_rng(3).lognormal(size=9)
    low, high = mean_interval(values)
    assert mean_interval(5 + 2 * values) == pytest.approx((5 + 2 * low, 5 + 2 * high))
    assert mean_interval(1e-9 * values) == pytest.approx((1e-9 * low, 1e-9 * high), rel=1e-9, abs=0)
    assert np.allclose(mean_interval(np.append(values, NAN)), (low, high))
    narrow = mean_interval(values, level=0.9)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_there_is_no_interval_below_five_prompts_nor_where_all_prompts_agree() -> None:
    assert np.isnan(mean_interval(np.array([1.0, 2, 3, 5, NAN]))).all()
    assert not np.isnan(mean_interval(np.array([1.0, 2, 3, 5, 8]))).any()
    for equal in (np.zeros(6), np.full(40, 0.1 + 0.2), np.full((6, 2), 3.0).mean(1)):
        assert np.isnan(mean_interval(equal)).all()
    assert np.isnan(two_level_interval(np.full((6, 2), 3.0))).all()
    assert np.isnan(mean_interval(np.array([]))).all()


def test_intervals_over_prompts_hold_the_truth_and_over_views_far_less() -> None:
    scores = clustered(np.random.default_rng(1), 600, 40)
    assert 0.93 < coverage(*skewed_t(scores.mean((2, 3))), 0) < 0.98
    flat = scores.reshape(len(scores), -1)
    reach = 1.96 * flat.std(1, ddof=1) / np.sqrt(flat.shape[1])
    assert coverage(flat.mean(1) - reach, flat.mean(1) + reach, 0) < 0.25


@pytest.mark.parametrize("prompts", [6, 40])
def test_with_several_seeds_intervals_hold_the_truth_and_are_little_wider(prompts: int) -> None:
    means = clustered(np.random.default_rng(4), 1000, prompts, seeds=3, views=12).mean(3)
    ends = np.array([two_level_interval(run) for run in means])
    assert 0.94 < coverage(*ends.T, 0) < 0.99
    one = np.array([mean_interval(run.mean(1)) for run in means])
    assert 1 < np.median(np.ptp(ends, axis=1) / np.ptp(one, axis=1)) < 1.1


def test_with_several_seeds_that_share_their_draws_intervals_still_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    shared = 0.25 * rng.standard_normal((1000, 1, 3))  # what seed 0 does to every prompt alike
    runs = rng.standard_normal((1000, 12, 1)) + shared + rng.standard_normal((1000, 12, 3))
    ends = np.array([two_level_interval(run) for run in runs])
    assert coverage(*ends.T, 0) >= 0.93


def test_the_variance_of_a_second_level_is_that_of_drawing_seeds_anew() -> None:
    values = np.random.default_rng(6).normal(size=(12, 4)) * 2
    values[0, 1], values[3, :3], values[5, :2] = NAN, NAN, NAN
    counts = (~np.isnan(values)).sum(1)
    within = np.nanvar(values[counts > 1], 1, ddof=1) / counts[counts > 1]
    low, high = skewed_t(np.nanmean(values, 1), within.sum() / 12)
    assert two_level_interval(values) == pytest.approx((low, high))


def test_one_seed_a_prompt_gives_the_one_level_interval_wherever_it_stands() -> None:
    rng = np.random.default_rng(7)
    values = rng.exponential(size=15)
    one_seed = np.where(rng.random((15, 3)).argsort(1) == 0, values[:, None], NAN)
    assert two_level_interval(one_seed) == mean_interval(values)


def test_a_table_of_intervals_counts_prompts_and_equal_runs_give_equal_tables() -> None:
    values = clustered(np.random.default_rng(8), 8, 2, seeds=3, views=5)  # 8 prompts of 2 methods
    values[0, 0] = NAN
    values[1, 1, 0, :3] = NAN
    rows = [(f"m{m}", f"p{p}", s, v, "clip", values[p, m, s, v]) for p, m, s, v in np.ndindex(values.shape)]
    scores = pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])
    table = mean_intervals(scores).set_index("method")
    assert table["prompts"].to_dict() == {"m0": 7, "m1": 8}
    expected = prompt_means(scores).groupby("method")["value"].mean()
    assert table["mean"].to_dict() == pytest.approx(expected.to_dict())
    assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()
    pd.testing.assert_frame_equal(table, mean_intervals(scores).set_index("method"))
    assert mean_intervals(scores[::-1])["method"].tolist() == ["m1", "m0"]  # in order of appearance


def test_prompts_that_agree_have_the_plain_interval_of_what_their_seeds_spread() -> None:
    """No spread between prompts has no skewness, and is no reason for no interval."""
    low, high = skewed_t(np.full(6, 2.0), added=0.5)
    reach = stats.t.ppf(0.975, 5) * np.sqrt(0.5 / 6)
    assert (low, high) == pytest.approx((2 - reach, 2 + reach))
    assert not np.isnan(skewed_t(np.array([1.0, 2, 3, 1, 2, 3]), added=2 / 3)).any()
