"""Distances of methods: perfect ones, exchanged prompts, honest errors, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from features import LINEAR, fid, simulate, spread_of
from scipy import stats

from eval.distances import frechet, paired
from eval.distances import kernels as mmd
from eval.distances.paired import MEASURES, OF_PROMPTS, differences, digest, intervals, measure
from eval.statistics.comparison import compare_distances


@pytest.fixture(scope="module")
def clustered() -> dict[str, np.ndarray]:
    """Value and jackknife error of perfect methods in 100 independent runs: name -> (100, 2)."""
    rng = np.random.default_rng(11)
    kinds = {
        "kid": (mmd.KID, mmd.stratified_mmd2),
        "kid_pp": (mmd.KID, mmd.paired_mmd2),
        "cmmd_pp": (mmd.CMMD, mmd.paired_mmd2),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(100):
        x, y = simulate(rng, prompts=10)
        for name, (kernel, statistic) in kinds.items():
            (value,), left_out = mmd.jackknife(statistic, mmd.blocks(kernel, [x], y))
            found[name].append((value, spread_of(left_out[:, 0])))
    return {name: np.array(rows) for name, rows in found.items()}


def z_score(values: np.ndarray) -> float:
    """How many standard errors the mean of independent runs is above zero."""
    return float(values.mean() / (values.std() / np.sqrt(len(values))))


@pytest.fixture(scope="module")
def independent() -> dict[str, np.ndarray]:
    """Of 150 runs whose views are independent images of the prior, as the row `prior` has: name -> values."""
    rng = np.random.default_rng(15)
    found: dict[str, list[float]] = {"kid": [], "pooled": [], "own": []}
    for _ in range(150):
        x, y = simulate(rng, prompts=6, alike=0)
        (known,) = mmd.blocks(mmd.KID, [x], y)
        (pooled,) = mmd.blocks(mmd.KID, [[np.concatenate(x)]], [np.concatenate(y)])
        found["kid"].append(mmd.stratified_mmd2(known))
        found["pooled"].append(float(pooled.own[0]))
        found["own"].append(float(known.own.mean()))
    return {name: np.array(values) for name, values in found.items()}


def test_kid_of_independent_images_is_zero_on_average_with_equal_numbers_a_prompt(independent: dict) -> None:
    assert abs(z_score(independent["kid"])) < 3
    assert z_score(independent["pooled"]) < -10  # all pairs of different images, prompts forgotten
    assert abs(independent["kid"].mean()) < 0.1 * abs(independent["pooled"].mean())


def test_the_distance_of_a_prompt_is_zero_on_average_for_independent_images(independent: dict) -> None:
    assert abs(z_score(independent["own"])) < 3 and (independent["own"] < 0).any()


def test_the_distance_of_a_perfect_asset_is_what_assets_of_its_prompt_differ_by() -> None:
    rng, alike, width = np.random.default_rng(16), 0.8, 24
    expected = 0.5 * alike * (1 / np.arange(1, width + 1)).sum()  # of a linear kernel, in simulate()
    values = []
    for _ in range(300):
        (x,), (y,) = simulate(rng, prompts=1, width=width, alike=alike)
        values.append(mmd.prompt_mmd2(LINEAR, [x], y)[0])
    assert abs(z_score(np.array(values) - expected)) < 3


def test_kid_of_a_perfect_method_is_above_zero_where_views_are_alike(clustered: dict) -> None:
    assert z_score(clustered["kid"][:, 0]) > 10


def exchange(prompts: list[np.ndarray]) -> list[np.ndarray]:
    """Every asset under the next prompt, as the row `shuffled`."""
    return prompts[1:] + prompts[:1]


def test_exchanged_prompts_raise_the_distance_of_prompts_while_the_paired_one_falls_below_zero() -> None:
    mine, reference = simulate(np.random.default_rng(17), prompts=6)
    methods = {"right": mine, "wrong": exchange(mine)}
    for space in ("kid", "cmmd"):
        kernel = OF_PROMPTS[f"{space}_p"][1]
        own = {
            name: [mmd.prompt_mmd2(kernel, [a], b)[0] for a, b in zip(prompts, reference, strict=True)]
            for name, prompts in methods.items()
        }
        paired = measure(f"{space}_pp", methods, reference)["value"]
        pooled = measure(space, methods, reference)["value"]
        assert np.mean(own["wrong"]) > 2 * np.mean(own["right"])
        assert paired[1] < 0 and paired[1] < paired[0] - 0.1 * np.mean(own["right"])
        assert pooled[1] == pytest.approx(pooled[0], rel=1e-9)  # the same images


def test_two_exchanged_prompts_show_in_their_own_distances_alone() -> None:
    mine, reference = simulate(np.random.default_rng(18), prompts=8, apart=2)
    exchanged = [mine[1], mine[0], *mine[2:]]
    right, wrong = (
        [mmd.prompt_mmd2(mmd.KID, [a], b)[0] for a, b in zip(prompts, reference, strict=True)]
        for prompts in (mine, exchanged)
    )
    assert min(wrong[:2]) > 1.5 * max(right[:2]) and wrong[2:] == right[2:]
    assert not intervals("kid_pp", {"a": exchanged}, reference)["reason"].any()


@pytest.mark.parametrize("metric", ["kid_pp", "cmmd_pp"])
def test_assets_under_wrong_prompts_have_no_paired_distance_and_are_told_why(metric: str) -> None:
    sides = simulate(np.random.default_rng(17), prompts=6)
    places = 4 * np.eye(6, 24, dtype=np.float32)  # prompts far apart, as those of a table are
    mine, reference = ([block + place for block, place in zip(side, places, strict=True)] for side in sides)
    found = intervals(metric, {"right": mine, "wrong": exchange(mine)}, reference).set_index("method")
    assert found.loc["wrong", ["mean", "low", "high"]].isna().all()
    assert "do not belong to these prompts" in found.loc["wrong", "reason"]
    assert found.loc["right", "low"] < found.loc["right", "mean"] and found.loc["right", "reason"] == ""


@pytest.mark.parametrize("n", [4, 5, 9])
def test_an_interval_is_students_t_of_the_jackknifes_error_from_five_prompts_on(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends at 0 is no sign of wrong prompts yet."""
    quantile = float(stats.t.ppf(0.975, n - 1))
    values = {"far": 9.0, "at 0": -2 * quantile, "below": -2.01 * quantile}
    found = pd.DataFrame({"method": [*values], "metric": "kid_pp", "value": [*values.values()], "se": 2.0})
    monkeypatch.setattr(paired, "measure", lambda *_: found)
    rows = intervals("kid_pp", {}, [np.zeros((1, 1))] * n).set_index("method")
    assert (rows["n"] == n).all() and rows["low"].isna().all() == (n < 5)
    if n >= 5:
        assert rows.loc["far", ["mean", "low", "high"]].tolist() == [9, 9 - 2 * quantile, 9 + 2 * quantile]
        assert rows["reason"].ne("").tolist() == [False, False, True]


def test_a_perfect_method_is_seldom_refused() -> None:
    rng = np.random.default_rng(19)
    runs = [simulate(rng, prompts=6, width=8) for _ in range(200)]
    refused = [bool(intervals("kid_pp", {"a": x}, y)["reason"][0]) for x, y in runs]
    assert np.mean(refused) < 0.025


@pytest.mark.parametrize("metric", ["kid_pp", "cmmd_pp"])
def test_a_prompt_paired_distance_of_a_perfect_method_is_zero_on_average(
    clustered: dict, metric: str
) -> None:
    values = clustered[metric][:, 0]
    assert abs(z_score(values)) < 3 and (values < 0).any()
    assert abs(values.mean()) < 0.1 * clustered["kid"][:, 0].mean()


@pytest.mark.parametrize("metric", ["kid_pp", "cmmd_pp"])
def test_the_jackknife_error_is_the_spread_over_runs_within_a_factor(clustered: dict, metric: str) -> None:
    values, errors = clustered[metric].T
    assert 0.7 < errors.mean() / values.std() < 2


@pytest.mark.parametrize("metric", ["fid_clip", "kid_pp", "cmmd_pp"])
def test_the_error_of_a_paired_difference_is_its_spread_over_runs_within_a_factor(metric: str) -> None:
    rng, rows = np.random.default_rng(12), []
    for _ in range(40):
        mine, reference = simulate(rng, prompts=10, width=8)
        noise = [rng.normal(size=(1, 8)) * 0.3 + 0.3 for _ in mine]
        other = [block + step for block, step in zip(mine, noise, strict=True)]
        table = differences(metric, {"sctd": mine, "sds": other}, reference)
        rows.append((table["difference"][0], table["error"][0]))
    found, errors = np.array(rows).T
    assert 0.6 < errors.mean() / found.std() < 2
    assert found.mean() > 0


@pytest.mark.parametrize("metric", list(MEASURES))
def test_every_metric_measures_and_compares_methods(metric: str) -> None:
    good, reference = simulate(np.random.default_rng(7), prompts=20)
    bad = [block + 1 for block in good]
    table = measure(metric, {"sctd": good, "sds": bad}, reference)
    assert list(table) == ["method", "metric", "value", "se"] and list(table["method"]) == ["sctd", "sds"]
    assert (table["metric"] == metric).all() and (table["se"] > 0).all()
    gaps = differences(metric, {"sctd": good, "sds": bad, "same": good}, reference)
    assert [*gaps] == ["method", "metric", "difference", "error", "n"]
    row = compare_distances(gaps).set_index("method").loc["sds"]
    assert row["difference"] == pytest.approx(table["value"][1] - table["value"][0])
    assert row["low"] < row["difference"] < row["high"] and row["low"] > 0 and row["p"] < 0.05


def test_a_method_is_no_different_from_itself_and_the_reference_row_is_left_out() -> None:
    mine, reference = simulate(np.random.default_rng(8), prompts=5)
    table = compare_distances(differences("cmmd_pp", {"sctd": mine, "same": list(mine)}, reference))
    assert list(table["method"]) == ["same"]
    assert table.loc[0, ["difference", "low", "high"]].eq(0).all() and table["p"][0] == 1


def test_fewer_prompts_are_the_same_as_a_run_of_those_prompts_and_two_have_no_error() -> None:
    mine, reference = simulate(np.random.default_rng(9), prompts=7)
    for metric in MEASURES:
        part = measure(metric, {"a": mine[2:5]}, reference[2:5]).iloc[0]
        alone = measure(metric, {"a": [b.copy() for b in mine[2:5]]}, reference[2:5]).iloc[0]
        assert part["value"] == alone["value"] and part["se"] > 0
        two = measure(metric, {"a": mine[:2]}, reference[:2]).iloc[0]
        assert np.isfinite(two["value"]) and np.isnan(two["se"])
    assert np.isnan(measure("kid_pp", {"a": mine[:1]}, reference[:1])["value"][0])


@pytest.mark.parametrize("prompts", [1, 2, 3])
def test_none_is_left_out_of_fewer_than_three_prompts(prompts: int) -> None:
    mine, reference = simulate(np.random.default_rng(9), prompts=prompts)
    expected = (0 if prompts < 3 else prompts, 2)
    assert frechet.jackknife([mine, mine], reference)[1].shape == expected
    known = mmd.blocks(mmd.KID, [mine], reference)
    assert mmd.jackknife(mmd.biased_mmd2, [known[0], known[0]])[1].shape == expected


def test_the_value_of_a_method_does_not_depend_on_the_methods_beside_it() -> None:
    rng = np.random.default_rng(10)
    mine, reference = simulate(rng, prompts=4)
    other = [block * 1.1 for block in mine]
    both = measure("fid_clip", {"b": other, "a": mine}, reference).set_index("method")["value"]
    expected = fid(np.concatenate(mine), np.concatenate(reference))
    assert both["a"] == pytest.approx(expected) and both["a"] != both["b"]
    mine[0] = mine[0] + 1  # other bytes, so another figure
    assert measure("fid_clip", {"a": mine}, reference)["value"][0] != both["a"]


def test_a_metric_names_the_feature_space_it_is_taken_on() -> None:
    spaces = {metric: space for metric, (space, _) in MEASURES.items()}
    assert {spaces[m] for m in ("fid_clip", "kid_clip", "kid_clip_pp", "cmmd", "cmmd_pp")} == {"clip"}
    assert {spaces[m] for m in ("fid_clean", "kid", "kid_pp")} == {"inception_clean"}
    assert spaces["fid_pytorch"] == "inception_pytorch" and len(spaces) == 9
    own = {metric: space for metric, (space, _) in OF_PROMPTS.items()}
    assert own == {"kid_p": "inception_clean", "kid_clip_p": "clip", "cmmd_p": "clip"}


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    mine, reference = simulate(np.random.default_rng(0), prompts=3)
    with pytest.raises(ValueError, match="no distance 'fid'"):
        measure("fid", {"a": mine}, reference)
    with pytest.raises(ValueError, match="a has 2 prompts, the reference 3"):
        measure("kid", {"a": mine[:2]}, reference)
    with pytest.raises(ValueError, match="no method 'sctd'"):
        differences("kid", {"a": mine}, reference)


def test_sets_of_the_same_bytes_in_another_shape_or_type_are_told_apart() -> None:
    flat = np.arange(12, dtype=np.float32)
    sets = [flat.reshape(3, 4), flat.reshape(4, 3), flat.view(np.int32).reshape(3, 4)]
    assert len({digest([one]) for one in sets}) == 3
    assert digest([sets[0]]) == digest([sets[0].copy()])


def test_balanced_features_have_the_length_that_kids_kernel_expects() -> None:
    x = np.random.default_rng(0).standard_normal((5, 7)) * np.arange(1, 6)[:, None]
    assert np.linalg.norm(mmd.balance(x), axis=1) == pytest.approx(np.full(5, np.sqrt(7)))
    assert np.allclose(mmd.balance(3 * x), mmd.balance(x))
