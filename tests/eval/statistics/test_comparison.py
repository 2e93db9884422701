"""Paired tests and Holm, on data whose truth is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from eval.statistics.comparison import (
    COLUMNS,
    agree,
    compare,
    compare_distances,
    distance_p,
    hodges_lehmann,
    holm,
    share_won,
    sign_flip_p,
    sign_patterns,
    smallest_p,
)
from eval.statistics.intervals import mean_interval
from eval.statistics.mean_test import Distance, Mean

NAN = float("nan")
DIFFERENCES = arrays(float, st.integers(1, 9), elements=st.floats(-100, 100, width=16))


@given(DIFFERENCES)
def test_sign_flip_p_is_the_count_over_all_sign_patterns(d: np.ndarray) -> None:
    sums = [
        abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))
    ]
    expected = np.mean(np.array(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip_p(d) == pytest.approx(expected)
    assert sign_flip_p(-d) == sign_flip_p(d) and smallest_p(len(d)) <= sign_flip_p(d) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_the_observed_signs_count_also_of_single_precision(seed: int) -> None:
    """By products in single precision their own mean may fall short of itself."""
    d = (1e3 * np.random.default_rng(seed).standard_normal(13) + 2e3).astype(np.float32)
    assert smallest_p(len(d)) <= sign_flip_p(d) == sign_flip_p(d.astype(float))


def test_sign_flip_p_agrees_with_scipys_permutation_test_on_many_prompts() -> None:
    d = np.random.default_rng(8).normal(0.4, 1, 30)
    theirs = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=100_000, rng=np.random.default_rng(1)
    ).pvalue
    assert sign_flip_p(d) == pytest.approx(theirs, abs=0.003)
    assert sign_flip_p(d) == sign_flip_p(d) and sign_flip_p(np.ones(40)) == smallest_p(40) == 1 / 100_001


def test_up_to_fourteen_prompts_all_patterns_count_and_beyond_as_many_as_are_drawn() -> None:
    assert sign_flip_p(np.ones(14)) == smallest_p(14) == 2 / 2**14
    assert sign_flip_p(np.ones(15), draws=1) >= 1 / 2 and smallest_p(15) == 1 / 100_001
    d = np.random.default_rng(12).normal(0.3, 1, 20)
    assert sign_flip_p(d) == sign_flip_p(d, seed=0) != sign_flip_p(d, seed=3)
    rows = [(m, f"p{i:02d}", "clip", v) for m, x in (("sds", d), ("sctd", 0 * d)) for i, v in enumerate(x)]
    means = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    for seed, options in ((0, {}), (3, {"seed": 3})):
        assert compare(means, {"clip": "up"}, **options)["p"].item() == sign_flip_p(d, seed=seed)


def test_patterns_are_kept_and_nobody_writes_into_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sign_patterns(3, 1, 0)[0] = 1


@given(arrays(int, 8, elements=st.integers(-5, 5)))
def test_sums_that_differ_by_rounding_alone_are_equal_at_every_scale(tenths: np.ndarray) -> None:
    for unit in (1.0, 1e6, 1e-9):
        assert sign_flip_p(unit * (tenths / 10)) == sign_flip_p(tenths)
    assert sign_flip_p(np.zeros(4)) == 1 and np.isnan(sign_flip_p(np.array([])))


def test_scores_agree_up_to_the_rounding_of_their_size() -> None:
    pairs = np.array([[0.0, 0], [1e6, 1e6 * (1 + 1e-13)], [1, 1 + 1e-9], [1e-6, 2e-6]])
    assert agree(pairs).tolist() == [True, True, False, False]


def test_no_method_can_be_significant_on_six_prompts_after_holm() -> None:
    assert sign_flip_p(np.arange(1.0, 7)) == smallest_p(6) == 2 / 64
    assert holm(np.full(2, smallest_p(6))).min() > 0.05 and np.isnan(smallest_p(0))


@pytest.mark.parametrize(("n", "draws"), [(6, 0), (12, 0), (40, 1000)])
def test_sign_flips_reject_a_true_null_at_most_as_often_as_they_say(n: int, draws: int) -> None:
    rng = np.random.default_rng(n)
    prompt = rng.exponential(5, (1500, n))
    mine, other = (prompt * (1 + rng.lognormal(0, 1.5, (1500, n))) for _ in range(2))  # skewed, exchangeable
    p = np.array([sign_flip_p(d, draws=draws or 1) for d in mine - other])
    for alpha in (0.05, 0.2):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 1500)
    assert (p <= 0.2).mean() > 0.12  # and is not merely silent


def test_skewed_differences_of_mean_zero_break_the_level_by_a_known_amount() -> None:
    """Not the null of the test (the methods cannot be exchanged), hence more than 5 %: recorded."""
    d = np.random.default_rng(9).exponential(1, (1500, 40)) - 1
    rate = np.mean([sign_flip_p(row, draws=1000) <= 0.05 for row in d])
    assert 0.045 < rate < 0.095


def test_sign_flips_find_a_true_difference() -> None:
    d = np.random.default_rng(10).normal(0.6, 1, (200, 40))
    assert np.mean([sign_flip_p(row, draws=1000) <= 0.05 for row in d]) > 0.9


def test_the_shift_is_the_median_of_pairwise_means_and_resists_an_outlier() -> None:
    d = np.array([1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 500])
    assert hodges_lehmann(d) == pytest.approx(1.05)
    assert hodges_lehmann(d + 3) == pytest.approx(4.05) and np.isnan(hodges_lehmann(np.array([])))


@given(arrays(float, st.integers(5, 12), elements=st.sampled_from([0.0, 0, 0, 0, 1, -1, 0.5, -3])))
def test_the_difference_is_the_mean_that_p_tests_also_among_ties(d: np.ndarray) -> None:
    """The shift of many ties is 0 or points the other way; the statistic of the sign flips does not."""
    rows = [(m, f"p{i}", "janus", v) for m, x in (("sds", d), ("sctd", 0 * d)) for i, v in enumerate(x)]
    means = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    row = compare(means, {"janus": "down"}).iloc[0]
    assert row["difference"] == d.mean() and row["p"] == sign_flip_p(d)
    assert (row["low"], row["high"]) == pytest.approx(mean_interval(d), nan_ok=True)


def test_ties_are_half_won_and_the_direction_of_the_metric_counts() -> None:
    assert share_won(np.array([0.4, 2, 0, -1]), "up") == 0.625
    assert share_won(np.array([0.4, 2, 0, -3]), "down") == 0.375
    assert share_won(np.array([2.0]), "up") == 1 and np.isnan(share_won(np.array([]), "up"))
    with pytest.raises(ValueError, match="neither up nor down"):
        share_won(np.array([1.0]), "higher")


def test_a_comparison_pairs_only_prompts_where_both_have_a_value() -> None:
    rows = [("sctd", f"p{i}", "clip", float(i)) for i in range(8)]
    rows += [("sds", f"p{i}", "clip", i - 2.0 if i < 7 else NAN) for i in range(1, 8)]
    rows += [("sctd", "p0", "iou", 0.5), ("sds", "p0", "color", 0.5)]
    means = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    table = compare(means, {"clip": "up", "color": "down", "iou": "up"})
    assert list(table.columns) == COLUMNS
    assert table.iloc[0].tolist()[:4] == ["sds", "clip", 6, -2] and len(table) == 1
    assert table.iloc[0].tolist()[4:] == pytest.approx([0, NAN, NAN, -2, 0, 2 / 64], nan_ok=True)
    two = means[means["prompt"].isin(["p1", "p2"])]
    assert compare(two, {"clip": "up"})["spread"].item() == 0
    with pytest.raises(ValueError, match="no method 'gcs'"):
        compare(means, {"clip": "up"}, reference="gcs")


# Many tests -----------------------------------------------------------------------------------------------


@given(arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_rejects_exactly_what_the_step_down_procedure_does(p: np.ndarray) -> None:
    alpha, rejected = 0.05, set()
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > alpha:
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(holm(p) <= alpha)) == rejected
    assert (holm(p) >= p).all() and (holm(p) <= 1).all()


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm(np.array([0.01, NAN, 0.04])) == pytest.approx([0.02, NAN, 0.04], nan_ok=True)
    assert len(holm(np.array([]))) == 0


def test_holm_keeps_the_chance_of_any_false_alarm_below_alpha_among_correlated_tests() -> None:
    rng, runs = np.random.default_rng(11), 1000
    means = rng.normal(size=(runs, 10, 1)) + rng.exponential(1, (runs, 10, 5))  # methods share their prompts
    means[..., 4] += 50  # SCTD (0) differs from nobody but method 4
    false_alarms = 0
    for run in means:
        p = np.array([sign_flip_p(run[:, m] - run[:, 0]) for m in (1, 2, 3, 4)])
        false_alarms += (holm(p)[:3] <= 0.05).any()
        assert holm(p)[3] <= 0.05
    assert false_alarms / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_distances_are_judged_by_students_t_of_their_jackknife_error() -> None:
    assert distance_p(2.228, 1, 11) == pytest.approx(0.05, abs=1e-4) == distance_p(-2.228, 1, 11)
    assert distance_p(0, 0, 5) == 1 and distance_p(1, 0, 5) == 0
    assert distance_p(1, 1, 2) == pytest.approx(0.5)
    assert distance_p(1.114, 0.5, 11) == pytest.approx(0.05, abs=1e-4)
    doubtful = ((1, NAN, 5), (1, 0, 1), (NAN, 0, 5), (1, -1, 5))
    assert all(np.isnan(distance_p(*each)) for each in doubtful)
    distances = pd.DataFrame(
        [("sds", "fid", 4.0, 1.0, 11)], columns=["method", "metric", "difference", "error", "n"]
    )
    row = compare_distances(distances).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((4 - 2.228, 4 + 2.228), abs=1e-3)


def test_distances_over_fewer_than_five_prompts_have_no_interval() -> None:
    columns = ["method", "metric", "difference", "error", "n"]
    found = compare_distances(pd.DataFrame([("sds", "fid", 4.0, 1.0, n) for n in (4, 5)], columns=columns))
    assert found[["low", "high"]].notna().to_numpy().tolist() == [[False, False], [True, True]]


def test_a_distance_without_error_lies_above_all_below_it() -> None:
    assert [Distance(1.0, 0.0, 5).above(bound) for bound in (0.5, 1.0, 1.5)] == [0, 1, 1]


def test_the_smallest_one_sided_p_halves_with_each_prompt_up_to_fourteen() -> None:
    assert Mean(np.ones(14)).least == 0.5**14 and Mean(np.ones(15)).least == 1 / 100_001
    assert Mean(np.ones(15)).seed == 0 and Mean(np.ones(15), 9).least == 0.1
