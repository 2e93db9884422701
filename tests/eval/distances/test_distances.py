"""Distances to a reference: closed forms, torchmetrics and torch-fidelity as oracles, honest errors.

The simulations have views that are alike within an asset, images of one prompt that are alike, and methods
whose true distance is known to be zero.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from eval.distances import frechet
from eval.distances import kernels as mmd
from eval.distances.frechet import Moments, save_moments
from eval.distances.paired import MEASURES, OF_PROMPTS, differences, intervals, jackknife_error, measure
from eval.statistics.comparison import compare_distances

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ("kid", "kid_pp", "cmmd", "cmmd_pp")


class Stored(torch.nn.Module):
    """The identity as torchmetrics' extractor."""

    def __init__(self, width: int):
        super().__init__()
        self.num_features = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def fid(features: np.ndarray, reference: np.ndarray) -> float:
    return float(frechet.distances_to(Moments.of(reference), [Moments.of(features)])[0])


def simulate(
    rng: np.random.Generator,
    prompts: int = 12,
    views: int = 8,
    images: int = 16,
    width: int = 24,
    shift: float = 0.0,
    alike: float = 0.8,
    apart: float = 1.0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A method's views and the reference's images, one array a prompt, with the same law given the prompt.

    Half of the variance is the prompt's, times apart^2; of the rest, the share `alike` is common to the views
    of an asset. Then a method with shift 0 is perfect: each of its views is distributed as a reference image.
    """
    spread = np.sqrt(1 / np.arange(1, width + 1))
    own = rng.normal(size=(prompts, 1, width)) * apart
    asset = rng.normal(size=(prompts, 1, width)) * np.sqrt(alike)
    view = rng.normal(size=(prompts, views, width)) * np.sqrt(1 - alike)
    method = np.sqrt(0.5) * (own + asset + view) * spread + 0.4 + shift
    reference = np.sqrt(0.5) * (own + rng.normal(size=(prompts, images, width))) * spread + 0.4
    return list(method.astype(np.float32)), list(reference.astype(np.float32))


def through_torchmetrics(features: np.ndarray, reference: np.ndarray, batch: int = 64) -> float:
    metric = FrechetInceptionDistance(feature=Stored(features.shape[1]))
    for real, stored in ((True, reference), (False, features)):
        for start in range(0, len(stored), batch):
            metric.update(torch.from_numpy(stored[start : start + batch]).double(), real=real)
    return float(metric.compute())


def white(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Points with mean exactly zero and covariance exactly one."""
    x = rng.normal(size=(n, width))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def spread_of(left_out: np.ndarray) -> float:
    return float(jackknife_error(left_out[:, None])[0])


# Frechet distance


def test_fid_of_diagonal_gaussians_is_the_closed_form() -> None:
    x = white(np.random.default_rng(0), 4000, 6)
    shift, scale = np.arange(6) / 3, 1 + np.arange(6) / 4
    expected = (shift**2).sum() + ((scale - 1) ** 2).sum()
    assert fid(x * scale + shift, x) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 24), st.floats(0.05, 20))
def test_fid_equals_torchmetrics_on_the_same_features(seed: int, width: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(width, width))
    mine, theirs = (
        rng.normal(size=(3 * width + 5, width)) @ mix * size,
        rng.normal(size=(4 * width, width)) + 1,
    )
    assert fid(mine, theirs) == pytest.approx(through_torchmetrics(mine, theirs), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 12))
def test_fid_is_a_symmetric_distance_that_turns_and_moves_with_its_space(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, width)) * 1.5 + 0.3, rng.normal(size=(50, width))
    turn, move = np.linalg.qr(rng.normal(size=(width, width)))[0], rng.normal(size=width)
    value = fid(x, y)
    assert value > 0 and fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(y, x) == pytest.approx(value, rel=1e-9)
    assert fid(x @ turn + move, y @ turn + move) == pytest.approx(value, rel=1e-8)
    assert fid(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-9)


def test_fewer_features_than_columns_still_give_a_real_distance() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(10, 40)), rng.normal(size=(12, 40)) + 1
    a, b = (s - s.mean(0) for s in (x, y))  # tr (S_G S_R)^(1/2) is the nuclear norm of the cross product
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(9 * 11)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + (a**2).sum() / 9 + (b**2).sum() / 11 - 2 * shared
    assert fid(x, y) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_moments_of_batches_add_up_to_the_moments_of_the_whole(seed: int, sizes: list[int]) -> None:
    x = np.random.default_rng(seed).normal(size=(sum(sizes), 5)) + 2
    parts = [Moments.of(part) for part in np.split(x, np.cumsum(sizes)[:-1])]
    whole = sum(parts[1:], parts[0])
    rest = whole - parts[0]
    assert (
        whole.count == len(x) and np.allclose(whole.mean, x.mean(0)) and np.allclose(whole.cov, np.cov(x.T))
    )
    assert rest.count == sum(sizes[1:]) and np.allclose(rest.mean, x[sizes[0] :].mean(0))


def test_published_moments_are_the_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(80, 6)), rng.normal(size=(90, 6)) + 0.5
    save_moments({"clip": Moments.of(y), "inception_clean": Moments.of(x)}, tmp_path / "statistics.npz")
    stored = np.load(tmp_path / "statistics.npz")
    assert stored["clip/count"] == 90 and np.allclose(stored["clip/mean"], y.mean(0))
    assert np.allclose(stored["clip/cov"], np.cov(y.T)) and stored["inception_clean/cov"].shape == (6, 6)


def test_one_feature_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two features, not 1"):
        fid(np.zeros((1, 3)), np.zeros((5, 3)))


def test_jackknife_leaves_prompts_out_of_both_sides_and_agrees_with_the_pooled_value() -> None:
    rng = np.random.default_rng(1)
    mine, reference = ([rng.normal(size=(n, 4)) + s for _ in range(5)] for n, s in ((40, 0.5), (50, 0.0)))
    (value,), left_out = frechet.jackknife([mine], reference)
    assert value == pytest.approx(fid(np.concatenate(mine), np.concatenate(reference)))
    naive = [
        fid(np.concatenate(mine[:p] + mine[p + 1 :]), np.concatenate(reference[:p] + reference[p + 1 :]))
        for p in range(5)
    ]
    assert np.allclose(left_out[:, 0], naive, rtol=1e-9)
    assert spread_of(left_out[:, 0]) == pytest.approx(np.sqrt(4 * np.var(naive)))


def test_bootstrapping_a_fid_is_biased_and_its_paired_difference_is_not() -> None:
    rng = np.random.default_rng(5)
    mine, reference = simulate(rng, prompts=20, width=16)
    other = [block + 0.1 for block in mine]
    points, _ = frechet.jackknife([mine, other], reference)
    drawn = np.array([
        [fid(np.concatenate([m[p] for p in picks]), np.concatenate([reference[p] for p in picks]))
         for m in (mine, other)]
        for picks in rng.integers(0, 20, (300, 20))
    ])  # fmt: skip
    spread = np.ptp(np.quantile(drawn[:, 1] - drawn[:, 0], [0.16, 0.84])) / 2
    assert drawn[:, 0].mean() > points[0] + 2 * drawn[:, 0].std()
    assert abs((drawn[:, 1] - drawn[:, 0]).mean() - (points[1] - points[0])) < 0.5 * spread


# Kernel distances


def test_kid_of_one_prompt_equals_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 7)).astype(np.float32), rng.normal(size=(30, 7)).astype(np.float32) + 0.5
    metric = KernelInceptionDistance(feature=Stored(7), subsets=2, subset_size=30).set_dtype(torch.float64)
    metric.update(torch.from_numpy(y).double(), real=True)
    metric.update(torch.from_numpy(x).double(), real=False)
    assert measure("kid", {"a": [x]}, [y])["value"][0] == pytest.approx(float(metric.compute()[0]), rel=1e-6)


def test_classic_cmmd_is_the_published_v_statistic_of_unit_embeddings() -> None:
    rng = np.random.default_rng(2)
    mine, theirs = ([rng.normal(size=(n, 5)) + s for _ in range(3)] for n, s in ((4, 0.0), (6, 1.0)))
    x, y = (
        np.concatenate(s) / np.linalg.norm(np.concatenate(s), axis=1, keepdims=True) for s in (mine, theirs)
    )

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.square(a[:, None] - b[None]).sum(-1) / (2 * 10**2)).mean())

    expected = 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))
    assert measure("cmmd", {"a": mine}, theirs)["value"][0] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 40))
def test_a_kernels_mean_does_not_depend_on_its_pieces(seed: int, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(23, 4)), rng.normal(size=(31, 4))
    assert mmd.KID.mean(x, y, chunk) == pytest.approx(mmd.cubic(x, y).mean(), rel=1e-9)


def test_no_gram_matrix_of_all_pairs_is_ever_held() -> None:
    x = np.random.default_rng(0).normal(size=(6000, 4)).astype(np.float32)
    tracemalloc.start()
    mmd.KID.mean(x, x, chunk=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 8 / 20


LINEAR = mmd.Kernel(np.asarray, lambda x, y: x @ y.T)


def test_the_blocks_of_a_linear_kernel_are_products_of_the_prompts_mean_differences() -> None:
    rng = np.random.default_rng(4)
    x, y = ([rng.normal(size=(n, 3)) for n in sizes] for sizes in ((4, 5, 6), (7, 3, 2)))
    d = np.array([a.mean(0) - b.mean(0) for a, b in zip(x, y, strict=True)])
    noise = [a.var(0, ddof=1).sum() / len(a) + b.var(0, ddof=1).sum() / len(b)
             for a, b in zip(x, y, strict=True)]  # fmt: skip
    (known,) = mmd.blocks(LINEAR, [x], y)
    assert np.allclose(known.products, d @ d.T)
    assert np.allclose(known.own, np.square(d).sum(1) - noise)
    off = [d[p] @ d[q] for p in range(3) for q in range(3) if p != q]
    assert mmd.paired_mmd2(known) == pytest.approx(np.mean(off), rel=1e-10)
    assert mmd.biased_mmd2(known) == pytest.approx(np.square(d.mean(0)).sum(), rel=1e-10)
    assert mmd.stratified_mmd2(known) == pytest.approx(np.square(d.mean(0)).sum() - sum(noise) / 9, rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_kernel_distances_are_symmetric_and_paired_ones_blind_to_repeated_views(
    seed: int, copies: int
) -> None:
    x, y = simulate(np.random.default_rng(seed), prompts=4, views=3, images=5, width=6)
    for kernel in (mmd.KID, mmd.CMMD):
        (one,), (other,) = mmd.blocks(kernel, [x], y), mmd.blocks(kernel, [y], x)
        (repeated,) = mmd.blocks(kernel, [[np.repeat(block, copies, axis=0) for block in x]], y)
        for statistic in (mmd.stratified_mmd2, mmd.biased_mmd2, mmd.paired_mmd2):
            assert statistic(one) == pytest.approx(statistic(other), rel=1e-6, abs=1e-12)
        assert mmd.paired_mmd2(repeated) == pytest.approx(mmd.paired_mmd2(one), rel=1e-6, abs=1e-12)
        assert mmd.biased_mmd2(one) >= 0


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 6))
def test_kid_is_its_paired_form_and_the_prompts_own_distances(seed: int, prompts: int) -> None:
    x, y = simulate(np.random.default_rng(seed), prompts, views=3, images=5, width=6, shift=0.3)
    own = [mmd.prompt_mmd2(mmd.KID, [a], b)[0] for a, b in zip(x, y, strict=True)]
    kid, paired = (measure(metric, {"a": x}, y)["value"][0] for metric in ("kid", "kid_pp"))
    assert prompts * kid == pytest.approx((prompts - 1) * paired + np.mean(own), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("metric", [metric for metric in MEASURES if metric not in ("kid", "kid_clip")])
def test_a_prompt_has_the_same_weight_however_many_of_its_seeds_failed(metric: str) -> None:
    x, y = simulate(np.random.default_rng(14), prompts=6, views=40)
    uneven = [np.tile(block, (1 + 2 * (p % 2), 1)) for p, block in enumerate(x)]
    even, other = (measure(metric, {"a": block}, y)["value"][0] for block in (x, uneven))
    assert other == pytest.approx(even, rel=0.02)  # FID's n - 1 still counts the copies
    if metric.startswith("fid"):
        pooled = fid(np.concatenate(uneven), np.concatenate(y))
        assert abs(pooled - even) > 0.04 * even


@pytest.mark.parametrize("metric", ["fid_clip", *KINDS])
def test_every_distance_grows_with_the_shift(metric: str) -> None:
    features = {str(s): simulate(np.random.default_rng(6), shift=s)[0] for s in (0.2, 0.4, 0.8, 1.6)}
    _, reference = simulate(np.random.default_rng(6))
    values = measure(metric, features, reference)["value"].to_numpy()
    assert (np.diff(values) > 0).all() and values[0] > 0


@pytest.fixture(scope="module")
def clustered() -> dict[str, np.ndarray]:
    """Value and jackknife error of perfect methods in 100 independent runs: name -> (100, 2)."""
    rng = np.random.default_rng(11)
    kinds = {"kid": (mmd.KID, mmd.stratified_mmd2), "kid_pp": (mmd.KID, mmd.paired_mmd2),
             "cmmd_pp": (mmd.CMMD, mmd.paired_mmd2)}  # fmt: skip
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
        own = {name: [mmd.prompt_mmd2(kernel, [a], b)[0] for a, b in zip(prompts, reference, strict=True)]
               for name, prompts in methods.items()}  # fmt: skip
        paired = measure(f"{space}_pp", methods, reference)["value"]
        pooled = measure(space, methods, reference)["value"]
        assert np.mean(own["wrong"]) > 2 * np.mean(own["right"])
        assert paired[1] < 0 and paired[1] < paired[0] - 0.1 * np.mean(own["right"])
        assert pooled[1] == pytest.approx(pooled[0], rel=1e-9)  # the same images


def test_two_exchanged_prompts_show_in_their_own_distances_alone() -> None:
    mine, reference = simulate(np.random.default_rng(18), prompts=8, apart=2)
    exchanged = [mine[1], mine[0], *mine[2:]]
    right, wrong = ([mmd.prompt_mmd2(mmd.KID, [a], b)[0] for a, b in zip(prompts, reference, strict=True)]
                    for prompts in (mine, exchanged))  # fmt: skip
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


# The table's entry point


@pytest.mark.parametrize("metric", list(MEASURES))
def test_every_metric_measures_and_compares_methods(metric: str) -> None:
    good, reference = simulate(np.random.default_rng(7), prompts=20)
    bad = [block + 1 for block in good]
    table = measure(metric, {"sctd": good, "sds": bad}, reference)
    assert list(table) == ["method", "metric", "value", "se"] and list(table["method"]) == ["sctd", "sds"]
    assert (table["metric"] == metric).all() and (table["se"] > 0).all()
    gaps = differences(metric, {"sctd": good, "sds": bad, "same": good}, reference)
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
