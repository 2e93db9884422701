"""Ranks over prompts, the chance to be first, and critical differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.statistics.ranks import (
    critical_difference,
    first_probability,
    friedman_p,
    joined_groups,
    nemenyi_difference,
    rank_summary,
)

NAN = float("nan")
METHODS = ["sds", "ism", "cds", "gcs", "sctd"]


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
    assert up.difference == nemenyi_difference(5, 40)
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


def test_the_chance_to_be_first_turns_with_the_direction_and_rests_on_ten_thousand_seeded_resamples() -> None:
    values = np.random.default_rng(23).normal(size=(10, 3))
    first = first_probability(values, "up")
    assert first_probability(-values, "down").tolist() == first.tolist()
    assert first_probability(values, "up", 10_000, 0).tolist() == first.tolist()
    summary = [rank_summary(means_table(values), {"clip": "up"}, METHODS[:3], **k) for k in ({}, {"seed": 5})]
    assert summary[0]["first"].tolist() == first.tolist()
    assert summary[1]["first"].tolist() == first_probability(values, "up", seed=5).tolist() != first.tolist()
    rounded = 1e9 * np.array([[0.3, 0.1 + 0.2]] * 5)
    assert first_probability(rounded, "up").tolist() == [0.5, 0.5]


def test_friedmans_test_begins_at_three_methods_and_two_prompts_and_nemenyis_at_two_and_one() -> None:
    values = np.random.default_rng(24).normal(size=(2, 3))
    assert friedman_p(values) == stats.friedmanchisquare(*values.T).pvalue
    assert np.isnan(friedman_p(values[:1])) and np.isnan(friedman_p(np.ones((5, 2))))
    assert nemenyi_difference(2, 1) > 0
    assert np.isnan(nemenyi_difference(1, 5)) and np.isnan(nemenyi_difference(3, 0))
