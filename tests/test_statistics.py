"""Paired tests, Holm, variance components, ranks and failures, on data whose truth is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from eval.comparison import (
    COLUMNS,
    compare,
    compare_distances,
    distance_p,
    hodges_lehmann,
    holm,
    share_won,
    sign_flip_p,
    smallest_p,
)
from eval.failures import complete_cases, failed_assets, floor_failures
from eval.ranks import (
    critical_difference,
    first_probability,
    friedman_p,
    joined_groups,
    nemenyi_difference,
    rank_summary,
)
from eval.statistics import mean_interval, prompt_means
from eval.variance import COMPONENTS, split_metric, variance_split

NAN = float("nan")
DIFFERENCES = arrays(float, st.integers(1, 9), elements=st.floats(-100, 100, width=16))
METHODS = ["sds", "ism", "cds", "gcs", "sctd"]


def long_table(values: np.ndarray, metric: str = "clip") -> pd.DataFrame:
    """(P, M, S, V) as the long table; NaN kept."""
    rows = [
        (f"m{m}", f"p{p:02d}", s, v, metric, values[p, m, s, v]) for p, m, s, v in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])


# --- paired comparison -------------------------------------------------------------------------------------


@given(DIFFERENCES)
def test_sign_flip_p_is_the_count_over_all_sign_patterns(d: np.ndarray) -> None:
    sums = [
        abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))
    ]
    expected = np.mean(np.array(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip_p(d) == pytest.approx(expected)
    assert sign_flip_p(-d) == sign_flip_p(d) and smallest_p(len(d)) <= sign_flip_p(d) <= 1


def test_sign_flip_p_agrees_with_scipys_permutation_test_on_many_prompts() -> None:
    d = np.random.default_rng(8).normal(0.4, 1, 30)
    theirs = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=100_000, rng=np.random.default_rng(1)
    ).pvalue
    assert sign_flip_p(d) == pytest.approx(theirs, abs=0.003)
    assert sign_flip_p(d) == sign_flip_p(d) and sign_flip_p(np.ones(40)) == smallest_p(40) == 1 / 100_001


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
    assert share_won(np.array([1.0, 2, 0, -1]), "up") == 0.625
    assert share_won(np.array([1.0, 2, 0, -1]), "down") == 0.375
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
    assert table.iloc[0].tolist()[4:] == pytest.approx([NAN, NAN, -2, 0, 2 / 64], nan_ok=True)
    with pytest.raises(ValueError, match="no method 'gcs'"):
        compare(means, {"clip": "up"}, reference="gcs")


# --- many tests --------------------------------------------------------------------------------------------


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
    assert np.isnan([distance_p(1, NAN, 5), distance_p(1, 1, 1), distance_p(NAN, 1, 5)]).all()
    distances = pd.DataFrame(
        [("sds", "fid", 4.0, 1.0, 11)], columns=["method", "metric", "difference", "error", "n"]
    )
    row = compare_distances(distances).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((4 - 2.228, 4 + 2.228), abs=1e-3)


# --- variance split ----------------------------------------------------------------------------------------


def components_data(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    """(P, M, S, V) with variances prompt 4, method 1, interaction 2, seed 0.5, view 3."""
    p, m, s, v = shape
    return (
        2 * rng.standard_normal((p, 1, 1, 1))
        + rng.standard_normal((1, m, 1, 1))
        + np.sqrt(2) * rng.standard_normal((p, m, 1, 1))
        + np.sqrt(0.5) * rng.standard_normal((p, m, s, 1))
        + np.sqrt(3) * rng.standard_normal((p, m, s, v))
    )


def test_balanced_components_are_the_classic_mean_squares() -> None:
    y = components_data(np.random.default_rng(12), (7, 4, 3, 5))
    p, m, s, v = y.shape
    cell, asset, grand = y.mean((2, 3)), y.mean(3), y.mean()
    ms_view = y.var(3, ddof=1).mean()
    ms_seed = v * asset.var(2, ddof=1).mean()
    rest = cell - cell.mean(1, keepdims=True) - cell.mean(0) + grand
    ms_both = s * v * (rest**2).sum() / ((p - 1) * (m - 1))
    ms_prompt, ms_method = s * v * m * cell.mean(1).var(ddof=1), s * v * p * cell.mean(0).var(ddof=1)
    expected = [
        (ms_prompt - ms_both) / (s * v * m), (ms_method - ms_both) / (s * v * p),
        (ms_both - ms_seed) / (s * v), (ms_seed - ms_view) / v, ms_view,
    ]  # fmt: skip
    assert split_metric(long_table(y)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_known_components_are_recovered_without_bias_also_when_assets_and_views_are_missing(
    missing: float,
) -> None:
    rng = np.random.default_rng(13)
    found = []
    for _ in range(40):
        y = components_data(rng, (8, 6, 2, 4))
        y[rng.random(y.shape[:3]) < missing] = NAN
        y[rng.random(y.shape) < missing] = NAN
        found.append(split_metric(long_table(y).dropna()))
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(mean - [4, 1, 2, 0.5, 3]) < 3.5 * error).all()
    assert (error < [0.6, 0.25, 0.25, 0.15, 0.1]).all()


def test_shares_sum_to_one_and_what_one_seed_cannot_tell_is_not_told() -> None:
    y = components_data(np.random.default_rng(14), (9, 3, 1, 6))
    table = variance_split(pd.concat([long_table(y), long_table(y * 2, "iou")]))
    assert table["component"].tolist() == list(COMPONENTS) * 2
    assert table.groupby("metric")["share"].sum().tolist() == pytest.approx([1, 1])
    clip, iou = (table[table["metric"] == name]["variance"].to_numpy() for name in ("clip", "iou"))
    assert np.isnan(clip[3]) and iou == pytest.approx(4 * clip, nan_ok=True)
    single = variance_split(long_table(y[:, :1]))["variance"].to_numpy()
    assert np.isnan(single[1:4]).all() and single[0] > 0


def test_a_metric_that_spreads_by_rounding_alone_has_no_split() -> None:
    rng = np.random.default_rng(19)
    shape = (6, 3, 1, 5)
    rounded = np.vectorize(lambda x: float(f"{x:.6g}"))
    columns = {
        "equal": np.ones(shape),
        "summed": np.full(shape, 0.1 + 0.2) + rng.choice([0, 5e-17], shape),
        "last digit": rounded(0.123456 + rng.choice([0, 1e-6], shape)),
        "large": rounded(34567.2 + rng.normal(0, 0.03, shape)),
        "zero": np.zeros(shape),
        "real": rounded(1000 + rng.normal(0, 0.5, shape)),
    }
    table = variance_split(pd.concat([long_table(y, name) for name, y in columns.items()]))
    split = table.groupby("metric", sort=False)["share"].sum(min_count=1)
    assert split.drop("real").isna().all() and split["real"] == pytest.approx(1)
    assert table.loc[table["metric"] != "real", "variance"].isna().all() and len(table) == 30


def test_a_component_at_rounding_level_is_zero() -> None:
    y = np.repeat(components_data(np.random.default_rng(20), (6, 1, 1, 4)), 3, axis=1)
    method = variance_split(long_table(y)).set_index("component").loc["method", "variance"]
    assert method <= 0 and (method == 0 or abs(method) > 1e-9)


# --- ranks -------------------------------------------------------------------------------------------------


def means_table(values: np.ndarray, metric: str = "clip") -> pd.DataFrame:
    rows = [(METHODS[m], f"p{p}", metric, values[p, m]) for p, m in np.ndindex(values.shape)]
    return pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])


def test_the_critical_difference_is_the_one_published() -> None:
    # Demsar 2006, table 5: q = 1.960, 2.343, 2.569, 2.728 for 2 to 5 methods at alpha .05
    for methods, q in ((2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728)):
        expected = q * np.sqrt(methods * (methods + 1) / (6 * 14))
        assert nemenyi_difference(methods, 14) == pytest.approx(expected, abs=2e-3)


def test_bars_join_maximal_runs_of_methods_that_do_not_differ() -> None:
    assert joined_groups(list("abcd"), np.array([1.0, 1.5, 2.2, 4]), 1.0) == [["a", "b"], ["b", "c"]]
    assert joined_groups(list("abc"), np.array([1.0, 1.5, 1.9]), 1.0) == [["a", "b", "c"]]
    assert joined_groups(list("ab"), np.array([1.0, 2.0]), 1.0) == []


def test_ranks_tell_the_better_method_and_respect_the_direction() -> None:
    rng = np.random.default_rng(15)
    values = rng.normal(size=(40, 5)) + 3 * rng.normal(size=(40, 1)) + np.array([0, 0, 0, 0, 2.5])
    means = means_table(values)
    up = critical_difference(means, "clip", "up", METHODS)
    assert up.methods[0] == "sctd" and up.n == 40 and up.friedman_p < 1e-6
    assert up.mean_ranks.sum() == pytest.approx(15) and (np.diff(up.mean_ranks) >= 0).all()
    assert all("sctd" not in group for group in up.groups) and sorted(up.groups[0]) == sorted(METHODS[:4])
    down = critical_difference(means, "clip", "down", METHODS)
    assert down.methods[-1] == "sctd" and np.allclose(down.mean_ranks, 6 - up.mean_ranks[::-1])
    summary = rank_summary(means, {"clip": "up", "absent": "up"}, METHODS).set_index("method")
    assert summary["first"]["sctd"] > 0.999 and summary["first"].sum() == pytest.approx(1)
    assert set(summary["metric"]) == {"clip"}


def test_prompts_that_lack_a_method_do_not_rank() -> None:
    values = np.random.default_rng(16).normal(size=(6, 5))
    values[2, 1] = NAN
    assert critical_difference(means_table(values), "clip", "up", METHODS).n == 5
    with pytest.raises(ValueError, match="no prompt has a value of clip"):
        critical_difference(means_table(np.full((3, 5), NAN)), "clip", "up", METHODS)


def test_equal_methods_share_the_first_place_and_two_normal_means_have_the_known_chance() -> None:
    equal = np.repeat(np.random.default_rng(17).normal(size=(6, 1)), 4, axis=1)
    assert first_probability(equal, "up") == pytest.approx(np.full(4, 0.25))
    assert friedman_p(equal) == 1 and np.isnan(friedman_p(equal[:, :2]))
    d = np.random.default_rng(18).normal(size=400)
    d += 0.05 - d.mean()
    chance = stats.norm.cdf(0.05 / (d.std() / 20))
    first = first_probability(np.stack([d, np.zeros(400)], 1), "up")
    assert first[0] == pytest.approx(chance, abs=0.02)


# --- failures ----------------------------------------------------------------------------------------------


def failing_scores() -> pd.DataFrame:
    """Two prompts, two seeds, views of CLIP: cds fails on p0 with seed 0 and on p1 with both."""
    rows = []
    for method, prompt, seed in product(("start", "cds", "sctd"), ("p0", "p1"), (0, 1)):
        failed = method == "cds" and (prompt, seed) != ("p0", 1)
        base = {"start": 1.0, "cds": 5.0, "sctd": 9.0}[method] + 10 * (prompt == "p1")
        if not (failed and seed == 0 and prompt == "p1"):  # one failure leaves no row at all
            rows += [(method, prompt, seed, v, "clip", NAN if failed else base + v) for v in (0, 1)]
        rows.append((method, prompt, seed, 0, "seconds", 7.0))
    rows = [(*r[:5], NAN if r[:4] == ("start", "p1", 0, 0) and r[4] == "clip" else r[5]) for r in rows]
    return pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])


def test_a_failed_asset_is_found_though_it_has_a_cost_or_no_rows() -> None:
    failed = failed_assets(failing_scores(), ["clip"])
    assert failed.values.tolist() == [["cds", "p0", 0], ["cds", "p1", 0], ["cds", "p1", 1]]
    without = failing_scores().query("metric == 'clip'")
    assets = failing_scores()[["method", "prompt", "seed"]]
    assert len(failed_assets(without, ["clip"])) == 2
    assert len(failed_assets(without, ["clip"], assets)) == 3


def test_complete_cases_keep_prompts_where_every_method_made_something() -> None:
    kept = complete_cases(failing_scores(), ["cds", "sctd"], ["clip"])
    assert set(kept["prompt"]) == {"p0"} and set(kept["method"]) == {"start", "cds", "sctd"}
    means = prompt_means(kept[kept["metric"] == "clip"]).set_index("method")["value"]
    assert means["cds"] == 5.5  # of the seed that succeeded
    assert set(complete_cases(failing_scores(), ["sctd"], ["clip"])["prompt"]) == {"p0", "p1"}


def test_a_failed_asset_counts_as_the_start_on_its_prompt() -> None:
    floored = floor_failures(failing_scores(), ["clip"])
    assert set(floored["metric"]) == {"clip"} and floored["value"].notna().all()
    means = prompt_means(floored).set_index(["method", "prompt"])["value"]
    assert means["cds", "p0"] == (1.5 + 5.5) / 2
    assert means["cds", "p1"] == means["start", "p1"] == (12.0 + 11.5) / 2
    assert means["sctd", "p1"] == 19.5
    with pytest.raises(ValueError, match="no control 'grey'"):
        floor_failures(failing_scores(), ["clip"], control="grey")
