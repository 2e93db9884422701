"""Distances to a reference: closed forms, torchmetrics and torch-fidelity as oracles, honest errors.

The simulations have views that are alike within an asset, images of one prompt that are alike, and methods
whose true distance is known to be zero.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from features import LINEAR, SEEDS, Stored, fid, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.kid import KernelInceptionDistance

from eval.distances import kernels as mmd
from eval.distances.paired import MEASURES, measure

KINDS = ("kid", "kid_pp", "cmmd", "cmmd_pp")


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


def test_the_blocks_of_a_linear_kernel_are_products_of_the_prompts_mean_differences() -> None:
    rng = np.random.default_rng(4)
    x, y = ([rng.normal(size=(n, 3)) for n in sizes] for sizes in ((4, 5, 6), (7, 3, 2)))
    d = np.array([a.mean(0) - b.mean(0) for a, b in zip(x, y, strict=True)])
    noise = [
        a.var(0, ddof=1).sum() / len(a) + b.var(0, ddof=1).sum() / len(b) for a, b in zip(x, y, strict=True)
    ]
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
