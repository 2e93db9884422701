"""The smallest difference that a design finds: against formulas, where there are any, and the test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import nct, norm, t

from eval.statistics.comparison import compare, compare_distances, holm, sign_flip_p
from eval.statistics.mean_test import Distance, Mean
from eval.statistics.pairs import adjust
from eval.statistics.power import (
    FLIPS,
    JACKKNIFE,
    LEDGER,
    smallest_differences,
    smallest_distance,
    smallest_effect,
)

TOLERANCE = 0.03


def student(n: int, tail: float) -> float:
    """The effect that Student's t finds with probability .8, by the noncentral t."""
    limit = t.isf(tail, n - 1)
    return brentq(lambda effect: nct.sf(limit, n - 1, effect * np.sqrt(n)) - 0.8, 0.01, 20)


@pytest.mark.parametrize(("n", "tests"), [(12, 1), (24, 12), (40, 10), (40, 12)])
def test_of_students_t_it_is_that_of_the_noncentral_t(n: int, tests: int) -> None:
    expected = student(n, 0.025 / tests)
    assert smallest_effect(n, 0.025 / tests, JACKKNIFE) == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize(("n", "tests"), [(24, 12), (40, 10)])
def test_many_sign_flips_find_what_t_finds(n: int, tests: int) -> None:
    assert smallest_effect(n, 0.025 / tests) == pytest.approx(student(n, 0.025 / tests), rel=TOLERANCE)


def test_where_only_equal_signs_reject_it_is_where_all_signs_agree() -> None:
    """Nine prompts, Holm over ten: p .0039 alone is small enough."""
    assert smallest_effect(9, 0.025 / 10) == pytest.approx(norm.ppf(0.8 ** (1 / 9)), rel=TOLERANCE)


def test_so_few_prompts_that_no_p_is_small_enough_find_nothing() -> None:
    assert smallest_effect(6, 0.025 / 10) == smallest_effect(1, 0.025) == np.inf
    assert smallest_effect(6, 0.025) < 3 and smallest_effect(2, 0.3) < np.inf
    assert smallest_effect(5, 0.1) == smallest_effect(5, 0.1, FLIPS, 0) != smallest_effect(5, 0.1, FLIPS, 1)


@pytest.mark.parametrize(("n", "tests"), [(10, 10), (12, 12), (40, 12)])
def test_the_very_test_finds_it_in_eight_of_ten_samples(n: int, tests: int) -> None:
    rng = np.random.default_rng(n)
    effect, runs = smallest_effect(n, 0.025 / tests), 400
    samples = rng.normal(effect, 1, (runs, n))
    found = np.mean([tests * sign_flip_p(sample, draws=5000) < 0.05 for sample in samples])
    assert found == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / runs) + 0.02)


def test_the_ledgers_test_which_allows_for_skewness_needs_more() -> None:
    rng = np.random.default_rng(1)
    effect = smallest_effect(12, 0.025, LEDGER)
    assert effect > 1.2 * smallest_effect(12, 0.025, FLIPS)
    found = np.mean([2 * Mean(sample).above(0) < 0.05 for sample in rng.normal(effect, 1, (400, 12))])
    assert found == pytest.approx(0.8, abs=0.08)


def test_how_far_from_a_bound_is_in_the_units_of_the_evidence() -> None:
    """A distance's error is that of its estimate, a root of n below the spread of one prompt."""
    found = smallest_distance(Distance(3.0, 2.0, 24), 0.025)
    assert found == pytest.approx(2 * np.sqrt(24) * student(24, 0.025), rel=TOLERANCE)
    values = np.random.default_rng(4).normal(7, 3, 12)
    spread, effect = values.std(ddof=1), smallest_effect(12, 0.025, LEDGER)
    assert smallest_distance(Mean(values), 0.025) == pytest.approx(spread * effect)
    assert smallest_distance(Mean(np.ones(3)), 0.025) == np.inf


def test_holm_finds_in_a_family_at_least_what_its_first_step_finds() -> None:
    rng = np.random.default_rng(2)
    effect = smallest_effect(12, 0.025 / 4)
    found = []
    for _ in range(300):
        p = [sign_flip_p(rng.normal(effect * (k == 0), 1, 12)) for k in range(4)]
        found.append(holm(np.array(p))[0] < 0.05)
    assert np.mean(found) > 0.73


def test_letters_and_marks_have_their_own_families_and_each_metric_its_spread() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (method, f"p{p:02d}", metric, scale * rng.normal())
        for metric, scale in (("toy_reward", 1.0), ("iou", 0.1), ("clip", 5.0))
        for method in ("sctd", "sds", "ism", "cds")
        for p in range(16)
    ]
    means = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    better = {"toy_reward": "up", "iou": "up", "clip": "up"}
    parts = [
        compare(means[means["method"].isin(names)], better, names[0]).assign(against=names[0])
        for names in (("sctd", "sds", "ism", "cds"), ("sds", "ism", "cds"), ("ism", "cds"))
    ]
    pairs = adjust(pd.concat(parts, ignore_index=True), "sctd", ["toy_reward", "iou"])
    table = smallest_differences(pairs, "sctd", ["toy_reward", "iou"])
    assert table[["metric", "against", "tests"]].to_numpy().tolist() == [
        ["toy_reward", "", 6],
        ["toy_reward", "sctd", 6],
        ["iou", "", 6],
        ["iou", "sctd", 6],
    ]
    reward, iou = table["difference"][:2], table["difference"][2:]
    assert (reward.to_numpy() / iou.to_numpy()) == pytest.approx(10, rel=0.4)
    wide = means.pivot(index="prompt", columns=["metric", "method"], values="value")["toy_reward"]
    spreads = [(wide[m] - wide["sctd"]).std() for m in ("sds", "ism", "cds")]
    assert table["spread"][1] == pytest.approx(np.sqrt(np.mean(np.square(spreads))))
    assert table["difference"][1] == pytest.approx(table["spread"][1] * smallest_effect(16, 0.025 / 6))


def test_equal_differences_of_too_few_prompts_find_nothing_either() -> None:
    rows = [(m, f"p{p}", "iou", 0.5 + (m == "sds")) for m in ("sctd", "sds") for p in range(5)]
    means = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    pairs = adjust(compare(means, {"iou": "up"}, "sctd").assign(against="sctd"), "sctd", ["iou"])
    assert smallest_differences(pairs, "sctd", ["iou"])["difference"].tolist() == [np.inf, np.inf]


def test_a_distances_spread_is_its_error_times_the_root_of_its_prompts() -> None:
    distances = pd.DataFrame(
        [("sds", "fid_pytorch", 4.0, 1.5, 16)], columns=["method", "metric", "difference", "error", "n"]
    )
    pairs = adjust(compare_distances(distances).assign(against="sctd"), "sctd", ["fid_pytorch"])
    (letters, marks) = smallest_differences(pairs, "sctd", ["fid_pytorch"]).to_dict("records")
    assert letters["spread"] == 6 and letters["test"] == JACKKNIFE
    assert marks["difference"] == pytest.approx(6 * student(16, 0.025), rel=TOLERANCE)
