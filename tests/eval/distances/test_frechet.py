"""FID and its jackknife: closed forms and torchmetrics as oracles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from features import SEEDS, Stored, fid, simulate, spread_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import FrechetInceptionDistance

from eval.distances import frechet
from eval.distances.frechet import Moments, save_moments


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
    drawn = np.array(
        [
            [
                fid(np.concatenate([m[p] for p in picks]), np.concatenate([reference[p] for p in picks]))
                for m in (mine, other)
            ]
            for picks in rng.integers(0, 20, (300, 20))
        ]
    )
    spread = np.ptp(np.quantile(drawn[:, 1] - drawn[:, 0], [0.16, 0.84])) / 2
    assert drawn[:, 0].mean() > points[0] + 2 * drawn[:, 0].std()
    assert abs((drawn[:, 1] - drawn[:, 0]).mean() - (points[1] - points[0])) < 0.5 * spread
