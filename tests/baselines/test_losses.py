"""The losses in closed form, in float64: equations, identities, switches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toys import (
    COMPACT,
    ONE_STEP,
    TWO_STEP,
    double,
    relative_error,
    toy_network,
)

from baselines.cds import CDS, Pair
from baselines.csd import CSD
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from baselines.sds import SDS
from segmentdreamer.diffusion.guidance import conditional, guided, unconditional
from segmentdreamer.diffusion.solver import (
    add_noise,
    alpha,
    denoised,
    noise_to_signal,
    ode_step,
)
from segmentdreamer.diffusion.times import Times
from segmentdreamer.interfaces import Progress
from segmentdreamer.sctd import SCTD


@pytest.mark.parametrize("times", [TWO_STEP, ONE_STEP])
def test_sctd_equals_its_noise_residual_form(times: Times) -> None:
    prior, z_0, noise, conditioning = double()
    g = SCTD().update(prior, z_0, noise, conditioning, times)
    a, (t, s, e) = prior.alphas_cumprod, (times.t, times.s, times.e)
    r_t, r_s, r_e = (noise_to_signal(a, i) for i in (t, s, e))
    z_e = add_noise(a, z_0, noise, e)
    eps_e = unconditional(prior, z_e, e, conditioning)
    if t >= 150:
        z_s = ode_step(a, z_e, e, s, eps_e)
        eps_s = unconditional(prior, z_s, s, conditioning)
        z_t, eps_inv = ode_step(a, z_s, s, t, eps_s), (r_s - r_e) * eps_e + (r_t - r_s) * eps_s
    else:
        z_t, eps_inv = ode_step(a, z_e, e, t, eps_e), (r_t - r_e) * eps_e
    eps_hat = guided(prior, z_t, t, conditioning, 7.5)
    eps_back = unconditional(prior, ode_step(a, z_t, t, s, eps_hat), s, conditioning)
    bracket = 8.5 * ((r_t - r_e) * eps_hat - eps_inv)
    bracket += eps_inv - (r_t - r_s) * eps_hat - (r_s - r_e) * eps_back
    assert relative_error(g.latent, 0.1 * r_t * a[e].sqrt() * bracket) < 1e-10


def test_the_brackets_of_the_paper_with_injected_noise_are_sds() -> None:
    """kappa Eq. 8 and kappa Eq. 9 both equal Eq. 7, omega [eps(y) - eps(null)] + [eps(y) - eps]."""
    prior, z_0, noise, c = double()
    a, omega, (t, s, e) = prior.alphas_cumprod, 7.5, (TWO_STEP.t, TWO_STEP.s, TWO_STEP.e)
    kappa = 1 / (alpha(a, e) * (noise_to_signal(a, t) - noise_to_signal(a, e)))
    z_e, z_t = (add_noise(a, z_0, noise, i) for i in (e, t))
    eps_y, eps_null = conditional(prior, z_t, t, c), unconditional(prior, z_t, t, c)
    z_s = ode_step(a, z_t, t, s, guided(prior, z_t, t, c, omega))
    G_t_y, G_t_null = ode_step(a, z_t, t, e, eps_y), ode_step(a, z_t, t, e, eps_null)
    G_s_y = ode_step(a, z_s, s, e, conditional(prior, z_s, s, c))
    G_s_null = ode_step(a, z_s, s, e, unconditional(prior, z_s, s, c))
    eq_7 = omega * (eps_y - eps_null) + (eps_y - noise)
    eq_8 = (G_s_y - G_t_y) + omega * (G_t_null - G_t_y) + (z_e - G_s_y)
    eq_9 = (G_s_null - G_t_null) + (omega + 1) * (G_t_null - G_t_y) + (z_e - G_s_null)
    assert relative_error(kappa * eq_8, eq_7) < 1e-10 and relative_error(kappa * eq_9, eq_7) < 1e-10


def test_sctds_self_term_fades_with_the_step_when_nothing_guides_it() -> None:
    prior, z_0, noise, c = double()
    alone = replace(c, cond=c.null.expand_as(c.cond), neg=c.null)
    sizes = []
    for gap in (160, 40):
        times = Times(400 + gap, 400 + gap // 2, 400)
        sizes.append(float(SCTD().update(prior, z_0, noise, alone, times).scalars["self_rms"]))
    assert sizes[1] < sizes[0] / 8  # second order in the gap


@pytest.mark.parametrize("weight", ["noise_to_signal", "sds", "uniform", "fantasia3d"])
def test_sds_equals_its_closed_form_for_each_weight(weight: str) -> None:
    prior, z_0, noise, c = double()
    t, a = 400, prior.alphas_cumprod[400]
    z_t = a.sqrt() * z_0 + (1 - a).sqrt() * noise
    negative, positive = (
        toy_network(z_t, torch.full((3,), t), text.expand(3, -1, -1)) for text in (c.neg, c.cond)
    )
    residual = negative + 7.5 * (positive - negative) - noise
    w = {
        "noise_to_signal": ((1 - a) / a).sqrt(),
        "sds": 1 - a,
        "uniform": 1.0,
        "fantasia3d": a.sqrt() * (1 - a),
    }[weight]
    g = SDS(omega=7.5, weight=weight).update(prior, z_0, noise, c, t)
    assert relative_error(g.latent, 0.1 * w * residual) < 1e-10


def test_csd_is_what_guidance_adds_to_sds() -> None:
    prior, z_0, noise, c = double()
    low, high = (SDS(omega).update(prior, z_0, noise, c, 400).latent for omega in (1.0, 8.5))
    assert relative_error(CSD().update(prior, z_0, noise, c, 400).latent, high - low) < 1e-10


def test_ism_hops_from_the_first_timestep_to_s() -> None:
    prior, z_0, noise, c = double()
    a, x = prior.alphas_cumprod, add_noise(prior.alphas_cumprod, z_0, noise, 1)
    for r, following in ((1, 201), (201, 401), (401, 502)):
        x = ode_step(a, x, r, following, unconditional(prior, x, r, c))
    eps_s = unconditional(prior, x, 502, c)
    x_t = ode_step(a, x, 502, 582, eps_s)
    expected = 0.1 * noise_to_signal(a, 582) * (guided(prior, x_t, 582, c, 7.5) - eps_s)
    g = ISM().update(prior, z_0, noise, c, Interval(582, 502))
    assert relative_error(g.latent, expected) < 1e-10


def test_cds_step_is_its_variance_exploding_form() -> None:
    prior, z_0, noise, c = double()
    a, t, t_next = prior.alphas_cumprod, torch.tensor([700, 640, 720]), 500
    r_t, r_next = noise_to_signal(a, t), noise_to_signal(a, t_next)
    y_t = z_0 + r_t * noise
    eps_t = guided(prior, y_t / (1 + r_t**2).sqrt(), t, c, 51.0)
    y_next = y_t + (r_next - r_t) * eps_t
    eps_next = guided(prior, y_next / (1 + r_next**2).sqrt(), t_next, c, 51.0)
    g = CDS(omega=51.0, clamp=None).update(prior, z_0, noise, c, Pair(t, t_next))
    assert relative_error(g.latent, (eps_t - eps_next) / 3) < 1e-10
    clamped = CDS(omega=51.0, clamp=(0.01, 8.0)).update(prior, z_0, noise, c, Pair(t, t_next))
    assert relative_error(clamped.latent, (eps_t - eps_next).clamp(-0.01, 0.01) / 3) < 1e-10


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75])
def test_cds_anneals_guidance_and_clamp_over_the_run(share: float) -> None:
    prior, z_0, _, c = double()
    annealed = CDS(omega=101.0, omega_end=51.0, clamp=(0.02, 0.08), fixed_noise=False)
    fixed = replace(annealed, omega=101 - 50 * share, omega_end=None, clamp=(0.02 + 0.06 * share,) * 2)
    progress = Progress(int(1000 * share), 1000, 0)
    g = annealed(prior, z_0, c, progress).latent
    assert torch.allclose(g, fixed(prior, z_0, c, progress).latent, atol=1e-12)
    assert float(3 * g.abs().max()) == pytest.approx(0.02 + 0.06 * share)  # the clamp is at work
    unclamped = replace(annealed, clamp=None)(prior, z_0, c, progress).latent
    assert torch.allclose(unclamped, replace(fixed, clamp=None)(prior, z_0, c, progress).latent, atol=1e-12)


@pytest.mark.parametrize(("t", "rows"), [(149, 4), (150, 5), (151, 5)])
def test_sctd_inverts_in_two_steps_from_its_threshold_on(t: int, rows: int) -> None:
    prior, z_0, noise, c = double()
    SCTD(t_tau=150).update(prior, z_0, noise, c, Times(t, 60, 20))
    assert prior.nfe == rows * len(z_0)


def test_gcs_equals_the_gradient_of_its_three_losses() -> None:
    prior, z_0, noise, c = double()
    w_cc, w_gc, w_cp, lam, omega = 1.0, 0.5, 0.3, 0.1, 7.5
    a, (t, s, e) = prior.alphas_cumprod, (COMPACT.t, COMPACT.s, COMPACT.e)
    z_0.requires_grad_(True)
    x = torch.rand(3, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    z_e = add_noise(a, z_0, noise, e)
    eps_e = unconditional(prior, z_e, e, c)
    z_s = ode_step(a, z_e, e, s, eps_e)
    z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, c))
    eps_hat = guided(prior, z_t, t, c, omega)
    z_s_hat = ode_step(a, z_t, t, s, eps_hat)
    G_t = ode_step(a, z_t, t, e, unconditional(prior, z_t, t, c))
    G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, c))
    z_e_y = ode_step(a, z_t, t, e, eps_hat)
    x_null, x_y = denoised(a, z_e, e, eps_e), denoised(a, z_e_y, e, guided(prior, z_e_y, e, c, omega))
    target = (x + prior.decode(x_y) - prior.decode(x_null)).detach()
    loss = w_cc * (G_t - G_s.detach()).square().sum() + w_gc * (x_null - x_y.detach()).square().sum()
    loss = lam / 3 * (loss + w_cp * (x - target).square().sum())
    loss.backward()
    g = GCS(omega, lam, w_cc, w_gc, w_cp).update(prior, z_0.detach(), noise, c, COMPACT)
    assert relative_error(g.latent, z_0.grad) < 1e-10
    assert relative_error(g.pixel, x.grad) < 1e-10


def test_each_switch_of_sctd_does_what_it_says() -> None:
    prior, z_0, noise, c = double()
    a, (t, s, e) = prior.alphas_cumprod, (TWO_STEP.t, TWO_STEP.s, TWO_STEP.e)
    z_e = add_noise(a, z_0, noise, e)
    z_s = ode_step(a, z_e, e, s, unconditional(prior, z_e, e, c))
    z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, c))

    def bracket(eps: Tensor, G_t: Tensor, sign: int) -> Tensor:
        z_s_hat = ode_step(a, z_t, t, s, eps)
        G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, c))
        return sign * (G_s - G_t) + 8.5 * (G_t - ode_step(a, z_t, t, e, eps))

    eps_hat, eps_y = guided(prior, z_t, t, c, 7.5), conditional(prior, z_t, t, c)
    G_exact = ode_step(a, z_t, t, e, unconditional(prior, z_t, t, c))
    expected = {
        "self_sign": (bracket(eps_hat, z_e, -1), {"self_sign": -1}),
        "no self term": (bracket(eps_hat, z_e, 0), {"self_sign": 0}),
        "cond_uses_cfg": (bracket(eps_y, z_e, 1), {"cond_uses_cfg": False}),
        "approx_G": (bracket(eps_hat, G_exact, 1), {"approx_G": False}),
    }
    for name, (value, switch) in expected.items():
        g = SCTD(**switch).update(prior, z_0, noise, c, TWO_STEP)
        assert relative_error(g.latent, 0.1 * noise_to_signal(a, t) * value) < 1e-10, name


def test_the_unet_jacobian_is_that_of_the_norm_form_of_the_loss() -> None:
    """self_sign = -1: of w/2 (|G_t - sg G_s|^2 + (omega + 1) |G_t - sg G_t_y|^2), over alpha_e."""
    prior, z_0, noise, c = double()
    a, (t, s, e) = prior.alphas_cumprod, (TWO_STEP.t, TWO_STEP.s, TWO_STEP.e)
    z_0.requires_grad_(True)
    z_e = add_noise(a, z_0, noise, e)
    z_s = ode_step(a, z_e, e, s, unconditional(prior, z_e, e, c))
    z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, c))
    eps_hat = guided(prior, z_t, t, c, 7.5)
    z_s_hat = ode_step(a, z_t, t, s, eps_hat)
    G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, c)).detach()
    G_y = ode_step(a, z_t, t, e, eps_hat).detach()
    G_t = ode_step(a, z_t, t, e, unconditional(prior, z_t, t, c, graph=True))
    loss = 0.5 * ((G_t - G_s).square().sum() + 8.5 * (G_t - G_y).square().sum())
    loss = 0.1 * noise_to_signal(a, t) / alpha(a, e) * loss
    loss.backward()
    exact = SCTD(self_sign=-1, approx_G=False, unet_jacobian=True)
    g = exact.update(prior, z_0.detach(), noise, c, TWO_STEP)
    assert relative_error(g.latent, z_0.grad) < 1e-10


def test_sctds_pixel_term_pulls_the_images_towards_the_guided_decoding() -> None:
    prior, z_0, noise, c = double()
    a, (t, s, e) = prior.alphas_cumprod, (TWO_STEP.t, TWO_STEP.s, TWO_STEP.e)
    z_e = add_noise(a, z_0, noise, e)
    z_s = ode_step(a, z_e, e, s, unconditional(prior, z_e, e, c))
    z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, c))
    G_y = ode_step(a, z_t, t, e, guided(prior, z_t, t, c, 7.5))
    x_1 = denoised(a, G_y, e, guided(prior, G_y, e, c, 7.5))
    x_2 = denoised(a, z_e, e, unconditional(prior, z_e, e, c))
    g = SCTD(w_cp=0.6).update(prior, z_0, noise, c, TWO_STEP)
    assert g.pixel is not None and SCTD().update(prior, z_0, noise, c, TWO_STEP).pixel is None
    assert relative_error(g.pixel, 2 * 0.6 / 3 * (prior.decode(x_2) - prior.decode(x_1))) < 1e-10
