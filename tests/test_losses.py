"""SDS and SCTD: published gradients, closed forms, invariants and the cost of a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines import sds
from baselines.sds import SDS
from segmentdreamer import sctd
from segmentdreamer.distillation import Progress, draw_noise
from segmentdreamer.guidance import Conditioning, guided
from segmentdreamer.prior import UNetPrior
from segmentdreamer.sctd import SCTD, Times
from segmentdreamer.solver import add_noise, noise_to_signal, ode_step, scaled_linear_alphas_cumprod

DATA = Path(__file__).parent / "data"
ALPHAS = scaled_linear_alphas_cumprod()


@pytest.fixture(scope="module")
def published() -> dict:
    from diffusers import UNet2DConditionModel

    tensors = load_file(DATA / "official_gradients.safetensors")
    described = json.loads((DATA / "official_gradients.json").read_text())
    config = {k: v for k, v in described["unet"].items() if not k.startswith("_")}
    unet = UNet2DConditionModel(**config).eval()
    unet.load_state_dict({k[5:]: v.float() for k, v in tensors.items() if k.startswith("unet.")})
    inputs = {k[3:]: v.float() for k, v in tensors.items() if k.startswith("in.")}
    gradients = {k[5:]: v for k, v in tensors.items() if k.startswith("grad.")}
    conditioning = Conditioning(inputs["cond"], inputs["neg"], inputs["null"])
    prior = UNetPrior(lambda x, t, c: unet(x, t, encoder_hidden_states=c).sample, ALPHAS)
    return {"prior": prior, "in": inputs, "grad": gradients, "conditioning": conditioning,
            "cases": described["cases"]}  # fmt: skip


def toy_network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """A smooth nonlinear stand-in for a UNet whose output depends on latents, time and text."""
    mixed = torch.einsum("bchw,bd->bchw", x, cond.mean((1, 2), keepdim=True)[..., 0])
    return torch.tanh(x + mixed + t.to(x)[:, None, None, None] / 1000) * 0.7


def toy_prior(alphas: Tensor = ALPHAS) -> UNetPrior:
    return UNetPrior(toy_network, alphas)


def toy_inputs(batch: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Conditioning]:
    g = torch.Generator().manual_seed(1)
    z_0, noise = (torch.randn(batch, 4, 8, 8, generator=g, dtype=dtype) for _ in range(2))
    texts = [torch.randn(n, 5, 6, generator=g, dtype=dtype) for n in (batch, 1, 1)]
    return z_0, noise, Conditioning(*texts)


def relative_error(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_sctd_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["sctd_two_step"]
    times = Times(case["t"], case["s"], case["e"])
    g = sctd.gradient(
        published["prior"], published["in"]["latents"], published["in"]["noise"],
        published["conditioning"], times, omega=case["cfg"], lam=case["lam"], t_tau=case["threshold"],
    )  # fmt: skip
    assert relative_error(g.latent, published["grad"]["sctd_two_step"]) < 1e-4


def test_sctd_equals_its_noise_residual_form_in_float64() -> None:
    prior = UNetPrior(toy_network, ALPHAS.double(), torch.float64)
    z_0, noise, conditioning = toy_inputs(dtype=torch.float64)
    for t, s, e in ((600, 480, 404), (120, 60, 20)):
        g = sctd.gradient(prior, z_0, noise, conditioning, Times(t, s, e), omega=7.5, lam=0.1)
        a = prior.alphas_cumprod
        r_t, r_s, r_e = (noise_to_signal(a, i) for i in (t, s, e))
        z_e = add_noise(a, z_0, noise, e)
        eps_e = prior.eps(z_e, e, conditioning.null)
        if t >= 150:
            z_s = ode_step(a, z_e, e, s, eps_e)
            eps_s = prior.eps(z_s, s, conditioning.null)
            z_t = ode_step(a, z_s, s, t, eps_s)
            eps_inv = (r_s - r_e) * eps_e + (r_t - r_s) * eps_s
        else:
            z_t, eps_inv = ode_step(a, z_e, e, t, eps_e), (r_t - r_e) * eps_e
        eps_hat = guided(prior, z_t, t, conditioning, 7.5)
        z_s_hat = ode_step(a, z_t, t, s, eps_hat)
        eps_back = prior.eps(z_s_hat, s, conditioning.null)
        bracket = 8.5 * ((r_t - r_e) * eps_hat - eps_inv)
        bracket += eps_inv - (r_t - r_s) * eps_hat - (r_s - r_e) * eps_back
        assert relative_error(g.latent, 0.1 * r_t * a[e].sqrt() * bracket) < 1e-10


def test_sds_equals_its_closed_form_for_each_weight() -> None:
    prior, (z_0, noise, conditioning) = toy_prior(), toy_inputs()
    t, a = 400, ALPHAS[400]
    z_t = a.sqrt() * z_0 + (1 - a).sqrt() * noise
    negative, positive = (
        toy_network(z_t, torch.full((3,), t), c.expand(3, -1, -1))
        for c in (conditioning.neg, conditioning.cond)
    )
    residual = negative + 7.5 * (positive - negative) - noise
    for name, w in (("noise_to_signal", ((1 - a) / a).sqrt()), ("sds", 1 - a), ("uniform", 1.0)):
        g = sds.gradient(prior, z_0, noise, conditioning, t, omega=7.5, lam=0.1, weight=name)
        assert relative_error(g.latent, 0.1 * w * residual) < 1e-5


def test_sctd_vanishes_where_the_network_is_constant() -> None:
    prior = UNetPrior(lambda x, t, c: torch.full_like(x, 0.3), ALPHAS.double(), torch.float64)
    z_0, noise, conditioning = toy_inputs(dtype=torch.float64)
    g = sctd.gradient(prior, z_0, noise, conditioning, Times(600, 480, 404))
    assert g.latent.abs().max() < 1e-10


@pytest.mark.parametrize("name", ["sds", "sctd"])
def test_no_sample_of_a_batch_depends_on_another(name: str) -> None:
    z_0, noise, conditioning = toy_inputs(3)

    def run(rows: slice) -> Tensor:
        c = Conditioning(conditioning.cond[rows], conditioning.neg, conditioning.null)
        if name == "sds":
            return sds.gradient(toy_prior(), z_0[rows], noise[rows], c, 300, omega=7.5).latent
        return sctd.gradient(toy_prior(), z_0[rows], noise[rows], c, Times(600, 480, 404)).latent

    together = run(slice(0, 3))
    for i in range(3):
        assert relative_error(run(slice(i, i + 1)), together[i : i + 1]) < 1e-5


@pytest.mark.parametrize(
    ("call", "rows"),
    [
        (lambda p, z, n, c: sds.gradient(p, z, n, c, 300), 2),
        (lambda p, z, n, c: sctd.gradient(p, z, n, c, Times(600, 480, 404)), 5),
        (lambda p, z, n, c: sctd.gradient(p, z, n, c, Times(120, 60, 20)), 4),
    ],
    ids=["sds", "sctd two-step", "sctd one-step"],
)
@pytest.mark.parametrize("perp_neg", [False, True])
def test_a_step_costs_exactly_the_published_evaluations(call, rows: int, perp_neg: bool) -> None:
    prior, (z_0, noise, conditioning) = toy_prior(), toy_inputs(3)
    if perp_neg:
        perp = torch.randn(2, 3, 5, 6)
        conditioning = Conditioning(
            conditioning.cond, conditioning.neg, conditioning.null, perp, -torch.ones(2, 3)
        )
        rows += 2
    call(prior, z_0, noise, conditioning)
    assert prior.nfe == 3 * rows


def test_perp_neg_with_zero_weights_is_plain_guidance() -> None:
    z_0, _, c = toy_inputs(3)
    perp = Conditioning(c.cond, c.neg, c.null, torch.randn(2, 3, 5, 6), torch.zeros(2, 3))
    a, b = (guided(toy_prior(), z_0, 500, k, 7.5) for k in (c, perp))
    assert torch.allclose(a, b, atol=1e-6)


def test_perp_neg_of_a_batch_equals_separate_calls() -> None:
    z_0, _, c = toy_inputs(3)
    perp, weights = torch.randn(2, 3, 5, 6), -torch.rand(2, 3)
    whole = guided(toy_prior(), z_0, 500, Conditioning(c.cond, c.neg, c.null, perp, weights), 7.5)
    for i in range(3):
        k = Conditioning(c.cond[i : i + 1], c.neg, c.null, perp[:, i : i + 1], weights[:, i : i + 1])
        assert torch.allclose(guided(toy_prior(), z_0[i : i + 1], 500, k, 7.5), whole[i : i + 1], atol=1e-5)


def test_gradients_never_reach_the_network() -> None:
    z_0, noise, conditioning = toy_inputs(2)
    z_0.requires_grad_(True)
    g = sctd.gradient(toy_prior(), z_0, noise, conditioning, Times(600, 480, 404))
    assert not g.latent.requires_grad


def test_latents_stay_float32_around_a_float16_network() -> None:
    seen = []

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append((x.dtype, cond.dtype))
        return toy_network(x.float(), t, cond.float()).half()

    prior = UNetPrior(network, ALPHAS, torch.float16)
    g = sctd.gradient(prior, *toy_inputs(2), Times(600, 480, 404))
    assert set(seen) == {(torch.float16, torch.float16)}
    assert g.latent.dtype == torch.float32 and torch.isfinite(g.latent).all()


def test_a_call_draws_times_and_noise_from_seed_and_step_alone() -> None:
    z_0, _, conditioning = toy_inputs(2)
    for method in (SDS(omega=7.5), SCTD()):
        first, again, later, other = (
            method(toy_prior(), z_0, conditioning, Progress(step, 100, seed, warmup=30)).latent
            for step, seed in ((5, 1), (5, 1), (6, 1), (5, 2))
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, later) and not torch.equal(first, other)


def test_fixed_noise_is_one_for_the_whole_run_and_offset_is_shared_by_the_batch() -> None:
    z_0 = torch.zeros(4, 4, 64, 64)
    assert torch.equal(draw_noise(z_0, 3, -1, 0.1), draw_noise(z_0, 3, -1, 0.1))
    shift = draw_noise(z_0, 3, 0, 0.1) - draw_noise(z_0, 3, 0, 0.0)
    assert torch.allclose(shift, shift[:1, :, :1, :1].expand_as(shift), atol=1e-6)


def test_sds_times_start_high_and_sink_to_the_base_range() -> None:
    method = SDS()
    early = [method.draw_time(Progress(0, 5000, seed)) for seed in range(400)]
    late = [method.draw_time(Progress(2000, 5000, seed)) for seed in range(400)]
    assert min(early) >= 21 and 900 < max(early) <= 980
    assert min(late) >= 21 and 450 < max(late) <= 500


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10])
@pytest.mark.parametrize("redraw", [False, True])
def test_sctd_times_are_ordered_inside_the_schedule(n: int, redraw: bool) -> None:
    method = SCTD(N=n, redraw_t=redraw)
    for step in range(300):
        times = method.draw_times(Progress(step, 300, 0, warmup=90))
        assert times.e in method.edges()
        assert times.e + 10 <= times.s <= times.t - 11
        assert times.t - times.e >= 80 and times.t <= 980 + 80
