"""The solver and the segmentation of the trajectory."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmentdreamer.diffusion.mixture import MixturePrior
from segmentdreamer.diffusion.sampling import sample, timesteps
from segmentdreamer.diffusion.solver import (
    alpha,
    noise_to_signal,
    ode_step,
    scaled_linear_alphas_cumprod,
    sigma,
)
from segmentdreamer.segments import equal_edges, lower_edge, monotone_edges

A = scaled_linear_alphas_cumprod().double()
timestep = st.integers(1, 999)


def test_the_schedule_is_stable_diffusions() -> None:
    for t, ratio in (
        (20, 0.138),
        (100, 0.344),
        (212, 0.600),
        (404, 1.180),
        (500, 1.618),
        (788, 4.84),
        (980, 13.04),
    ):
        assert float(noise_to_signal(A, t)) == pytest.approx(ratio, rel=5e-3)


@given(timestep, timestep)
def test_a_step_there_and_back_is_the_identity(a: int, b: int) -> None:
    x, eps = (
        torch.randn(2, 4, 3, 3, dtype=torch.float64),
        torch.randn(2, 4, 3, 3, dtype=torch.float64),
    )
    assert torch.allclose(ode_step(A, ode_step(A, x, a, b, eps), b, a, eps), x, atol=1e-9)


@given(timestep, timestep)
def test_ddim_equals_both_dpm_solvers_of_first_order(a: int, b: int) -> None:
    x, eps = (
        torch.randn(2, 4, 3, 3, dtype=torch.float64),
        torch.randn(2, 4, 3, 3, dtype=torch.float64),
    )
    h = -(noise_to_signal(A, b).log() - noise_to_signal(A, a).log())
    x_hat = (x - sigma(A, a) * eps) / alpha(A, a)
    plus_plus = sigma(A, b) / sigma(A, a) * x - alpha(A, b) * torch.expm1(-h) * x_hat
    plain = alpha(A, b) / alpha(A, a) * x - sigma(A, b) * torch.expm1(h) * eps
    for other in (plus_plus, plain):
        assert torch.allclose(ode_step(A, x, a, b, eps), other, rtol=1e-9, atol=1e-9)


def test_times_may_differ_within_a_batch() -> None:
    x, eps = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    a, b = torch.tensor([100, 500, 900]), torch.tensor([20, 700, 1])
    together = ode_step(A.float(), x, a, b, eps)
    for i in range(3):
        alone = ode_step(A.float(), x[i : i + 1], int(a[i]), int(b[i]), eps[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_edges_at_the_papers_setting_are_the_official_ones() -> None:
    assert equal_edges(5) == [20, 212, 404, 596, 788, 980]
    assert monotone_edges(5, 130) == [20, 150, 311, 503, 726, 980]


@given(st.integers(2, 40), st.floats(0.05, 0.95))
def test_monotone_segments_ascend_and_grow(n: int, share: float) -> None:
    edges = monotone_edges(n, share * 960 / n)
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    assert edges[0] == 20 and edges[-1] == 980 and min(lengths) >= 0
    assert all(b >= a - 1 for a, b in itertools.pairwise(lengths))  # up to rounding


@given(st.integers(1, 200), st.integers(20, 979))
def test_every_timestep_has_its_lower_edge(n: int, t: int) -> None:
    edges = equal_edges(n)
    e = lower_edge(edges, t)
    assert e <= t < edges[edges.index(e) + 1]


def test_impossible_segmentations_are_refused() -> None:
    for call in (
        lambda: equal_edges(0),
        lambda: monotone_edges(0, 100),
        lambda: monotone_edges(1, 100),
        lambda: monotone_edges(8, 130),
        lambda: monotone_edges(4, 240),  # equal segments do not grow
        lambda: monotone_edges(4, 0),
        lambda: lower_edge([20, 980], 10),
    ):
        with pytest.raises(ValueError, match=r"\d"):
            call()


def test_increments_are_real_numbers_unless_the_official_rounding_is_asked_for() -> None:
    assert monotone_edges(4, 100) == [20, 120, 313, 600, 980]
    assert monotone_edges(4, 100, floor=True) == [20, 120, 313, 599, 980]
    assert monotone_edges(2, 1) == [20, 21, 980]


def test_as_many_segments_fit_as_there_are_timesteps() -> None:
    assert equal_edges(960) == list(range(20, 981))
    with pytest.raises(ValueError, match="961 segments do not fit between timesteps 20 and 980"):
        equal_edges(961)


def test_sampling_descends_evenly_from_the_last_timestep() -> None:
    assert timesteps(4) == [999, 749, 500, 250] and timesteps(5, 500, 0) == [500, 400, 300, 200, 100]
    assert timesteps(2, 10, 4) == [10, 7]


def test_samples_of_a_prior_of_one_point_are_that_point() -> None:
    point = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    prior = MixturePrior(point, 1e-3)
    for options in ({}, {"steps": 3}):
        prior.nfe = 0
        found = sample(prior, prior.conditioning(["", ""]), noise, 7.5, **options)
        assert (found - point).abs().max() < 0.02
        assert prior.nfe == 2 * 2 * options.get("steps", 25)  # guided: twice a picture and step
