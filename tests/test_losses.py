"""The five losses: published gradients, closed forms, invariants and the cost of a step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines import cds, csd, gcs, ism, sds
from baselines.cds import CDS, Pair
from baselines.csd import CSD
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from baselines.sds import SDS
from segmentdreamer import sctd
from segmentdreamer.distillation import Gradient, Method, Progress, draw_noise
from segmentdreamer.guidance import Conditioning, conditional, guided, unconditional
from segmentdreamer.prior import UNetPrior
from segmentdreamer.sctd import SCTD
from segmentdreamer.solver import (
    add_noise,
    alpha,
    denoised,
    noise_to_signal,
    ode_step,
    scaled_linear_alphas_cumprod,
)
from segmentdreamer.times import Times

DATA = Path(__file__).parent / "data"
ALPHAS = scaled_linear_alphas_cumprod()
TWO_STEP, ONE_STEP = Times(600, 480, 404), Times(120, 60, 20)
COMPACT = Times(421, 331, 261)

Update = Callable[[UNetPrior, Tensor, Tensor, Conditioning], Gradient]

# Every loss as one call (prior, z_0, noise, conditioning), with its network rows per sample: without
# prompt, and how often guided (2 rows each under CFG, 4 under Perp-Neg).
UPDATES: dict[str, tuple[Update, int, int]] = {
    "sds": (lambda p, z, n, c: sds.gradient(p, z, n, c, 300), 0, 1),
    "csd": (lambda p, z, n, c: csd.gradient(p, z, n, c, 300), 0, 1),
    "ism, 1 hop": (lambda p, z, n, c: ism.gradient(p, z, n, c, Interval(150, 70)), 2, 1),
    "ism, 3 hops": (lambda p, z, n, c: ism.gradient(p, z, n, c, Interval(582, 502)), 4, 1),
    "ism, s = 1": (lambda p, z, n, c: ism.gradient(p, z, n, c, Interval(60, 1)), 2, 1),
    "cds": (lambda p, z, n, c: cds.gradient(p, z, n, c, Pair(620, 500)), 0, 2),
    "gcs": (lambda p, z, n, c: gcs.gradient(p, z, n, c, COMPACT), 4, 2),
    "sctd, two steps": (lambda p, z, n, c: sctd.gradient(p, z, n, c, TWO_STEP), 3, 1),
    "sctd, one step": (lambda p, z, n, c: sctd.gradient(p, z, n, c, ONE_STEP), 2, 1),
    "sctd, pixel term": (lambda p, z, n, c: sctd.gradient(p, z, n, c, TWO_STEP, w_cp=0.5), 4, 2),
    "sctd, exact G": (lambda p, z, n, c: sctd.gradient(p, z, n, c, TWO_STEP, approx_G=False), 4, 1),
    "sctd, Jacobian": (
        lambda p, z, n, c: sctd.gradient(p, z, n, c, TWO_STEP, approx_G=False, unet_jacobian=True), 4, 1,
    ),
}  # fmt: skip
METHODS: list[Method] = [SDS(), CSD(), ISM(), CDS(), GCS(), SCTD()]


class ToyPrior(UNetPrior):
    """A noise prediction with a decoder, as the pixel terms need one."""

    def decode(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents[:, :3]).repeat_interleave(8, -1).repeat_interleave(8, -2)


def toy_network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """A smooth nonlinear stand-in for a UNet whose output depends on latents, time and text."""
    mixed = torch.einsum("bchw,bd->bchw", x, cond.mean((1, 2), keepdim=True)[..., 0])
    return torch.tanh(x + mixed + t.to(x)[:, None, None, None] / 1000) * 0.7


def toy_prior(alphas: Tensor = ALPHAS) -> ToyPrior:
    return ToyPrior(toy_network, alphas, alphas.dtype)


def toy_inputs(batch: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Conditioning]:
    g = torch.Generator().manual_seed(1)
    z_0, noise = (torch.randn(batch, 4, 8, 8, generator=g, dtype=dtype) for _ in range(2))
    texts = [torch.randn(n, 5, 6, generator=g, dtype=dtype) for n in (batch, 1, 1)]
    return z_0, noise, Conditioning(*texts)


def with_perp_neg(c: Conditioning, batch: int = 3) -> Conditioning:
    g = torch.Generator().manual_seed(2)
    perp = torch.randn(2, batch, 5, 6, generator=g, dtype=c.cond.dtype)
    return replace(c, perp=perp, perp_weights=-torch.rand(2, batch, generator=g, dtype=c.cond.dtype))


def relative_error(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# --- The authors' own gradients -----------------------------------------------------------------------


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
    common = (prior, inputs["latents"], inputs["noise"], conditioning)
    return {"common": common, "grad": gradients, "cases": described["cases"]}


def test_sctd_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["sctd_two_step"]
    g = sctd.gradient(
        *published["common"], Times(case["t"], case["s"], case["e"]), omega=case["cfg"], lam=case["lam"],
        t_tau=case["threshold"],
    )  # fmt: skip
    assert relative_error(g.latent, published["grad"]["sctd_two_step"]) < 1e-4


def test_ism_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["ism"]
    g = ism.gradient(
        *published["common"], Interval(case["t"], case["s"]), omega=case["cfg"], lam=case["lam"],
        hop=case["xs_delta_t"],
    )  # fmt: skip
    assert relative_error(g.latent, published["grad"]["ism"]) < 1e-4


def test_cds_returns_the_authors_gradient(published: dict) -> None:
    case, (prior, z_0, noise, conditioning) = published["cases"]["cds"], published["common"]
    shared, omega = noise[:1].expand_as(noise), case["cfg"] + 1
    for t in (case["t"], torch.full((4,), case["t"])):
        g = cds.gradient(
            prior, z_0, shared, conditioning, Pair(t, case["t_next"]), omega, lam=1.0, weight="sds"
        )
        assert relative_error(g.latent, published["grad"]["cds"]) < 1e-4


def test_gcs_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["gcs_cc_only"]
    g = gcs.gradient(
        *published["common"], Times(case["t"], case["s"], case["e"]), omega=case["cfg"], lam=case["lam"],
        w_cc=1.0, w_gc=0.0, w_cp=0.0,
    )  # fmt: skip
    assert relative_error(g.latent, published["grad"]["gcs_cc_only"]) < 1e-4


# --- Closed forms and identities in float64 -----------------------------------------------------------


def double() -> tuple[ToyPrior, Tensor, Tensor, Conditioning]:
    return toy_prior(ALPHAS.double()), *toy_inputs(dtype=torch.float64)


@pytest.mark.parametrize("times", [TWO_STEP, ONE_STEP])
def test_sctd_equals_its_noise_residual_form(times: Times) -> None:
    prior, z_0, noise, conditioning = double()
    g = sctd.gradient(prior, z_0, noise, conditioning, times, omega=7.5, lam=0.1)
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
        sizes.append(float(sctd.gradient(prior, z_0, noise, alone, times).scalars["self_rms"]))
    assert sizes[1] < sizes[0] / 8  # second order in the gap


@pytest.mark.parametrize("weight", ["noise_to_signal", "sds", "uniform", "fantasia3d"])
def test_sds_equals_its_closed_form_for_each_weight(weight: sds.Weight) -> None:
    prior, z_0, noise, c = double()
    t, a = 400, prior.alphas_cumprod[400]
    z_t = a.sqrt() * z_0 + (1 - a).sqrt() * noise
    negative, positive = (
        toy_network(z_t, torch.full((3,), t), text.expand(3, -1, -1)) for text in (c.neg, c.cond)
    )
    residual = negative + 7.5 * (positive - negative) - noise
    w = {"noise_to_signal": ((1 - a) / a).sqrt(), "sds": 1 - a, "uniform": 1.0,
         "fantasia3d": a.sqrt() * (1 - a)}[weight]  # fmt: skip
    g = sds.gradient(prior, z_0, noise, c, t, omega=7.5, lam=0.1, weight=weight)
    assert relative_error(g.latent, 0.1 * w * residual) < 1e-10


def test_csd_is_what_guidance_adds_to_sds() -> None:
    prior, z_0, noise, c = double()
    low, high = (sds.gradient(prior, z_0, noise, c, 400, omega=omega).latent for omega in (1.0, 8.5))
    assert relative_error(csd.gradient(prior, z_0, noise, c, 400, omega=7.5).latent, high - low) < 1e-10


def test_ism_hops_from_the_first_timestep_to_s() -> None:
    prior, z_0, noise, c = double()
    a, x = prior.alphas_cumprod, add_noise(prior.alphas_cumprod, z_0, noise, 1)
    for r, following in ((1, 201), (201, 401), (401, 502)):
        x = ode_step(a, x, r, following, unconditional(prior, x, r, c))
    eps_s = unconditional(prior, x, 502, c)
    x_t = ode_step(a, x, 502, 582, eps_s)
    expected = 0.1 * noise_to_signal(a, 582) * (guided(prior, x_t, 582, c, 7.5) - eps_s)
    g = ism.gradient(prior, z_0, noise, c, Interval(582, 502))
    assert relative_error(g.latent, expected) < 1e-10


def test_cds_step_is_its_variance_exploding_form() -> None:
    prior, z_0, noise, c = double()
    a, t, t_next = prior.alphas_cumprod, torch.tensor([700, 640, 720]), 500
    r_t, r_next = noise_to_signal(a, t), noise_to_signal(a, t_next)
    y_t = z_0 + r_t * noise
    eps_t = guided(prior, y_t / (1 + r_t**2).sqrt(), t, c, 51.0)
    y_next = y_t + (r_next - r_t) * eps_t
    eps_next = guided(prior, y_next / (1 + r_next**2).sqrt(), t_next, c, 51.0)
    g = cds.gradient(prior, z_0, noise, c, Pair(t, t_next), omega=51.0)
    assert relative_error(g.latent, (eps_t - eps_next) / 3) < 1e-10
    clamped = cds.gradient(prior, z_0, noise, c, Pair(t, t_next), omega=51.0, clamp=0.01)
    assert relative_error(clamped.latent, (eps_t - eps_next).clamp(-0.01, 0.01) / 3) < 1e-10


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
    g = gcs.gradient(prior, z_0.detach(), noise, c, COMPACT, omega, lam, w_cc, w_gc, w_cp)
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
        g = sctd.gradient(prior, z_0, noise, c, TWO_STEP, **switch)
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
    g = sctd.gradient(
        prior, z_0.detach(), noise, c, TWO_STEP, self_sign=-1, approx_G=False, unet_jacobian=True
    )
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
    g = sctd.gradient(prior, z_0, noise, c, TWO_STEP, w_cp=0.6)
    assert g.pixel is not None and sctd.gradient(prior, z_0, noise, c, TWO_STEP).pixel is None
    assert relative_error(g.pixel, 2 * 0.6 / 3 * (prior.decode(x_2) - prior.decode(x_1))) < 1e-10


# --- Invariants of every loss -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in UPDATES if name != "sds"])
def test_a_constant_network_teaches_nothing(name: str) -> None:
    prior = ToyPrior(lambda x, t, c: torch.full_like(x, 0.3) + 0 * x, ALPHAS.double(), torch.float64)
    g = UPDATES[name][0](prior, *toy_inputs(dtype=torch.float64))
    assert g.latent.abs().max() < 1e-10
    assert g.pixel is None or g.pixel.abs().max() < 1e-10


@pytest.mark.parametrize("name", UPDATES)
def test_no_sample_of_a_batch_depends_on_another(name: str) -> None:
    z_0, noise, c = toy_inputs(3)
    mean = name in ("cds", "gcs")  # these divide by B, as their authors do

    def run(rows: slice) -> Gradient:
        c_rows = Conditioning(c.cond[rows], c.neg, c.null)
        return UPDATES[name][0](toy_prior(), z_0[rows], noise[rows], c_rows)

    together = run(slice(0, 3))
    for i in range(3):
        alone = run(slice(i, i + 1))
        assert relative_error(alone.latent / (3 if mean else 1), together.latent[i : i + 1]) < 1e-5
        if together.pixel is not None and alone.pixel is not None:
            assert relative_error(alone.pixel / 3, together.pixel[i : i + 1]) < 1e-5


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("perp_neg", [False, True])
def test_a_step_costs_exactly_the_published_evaluations(name: str, perp_neg: bool) -> None:
    update, bare, guidances = UPDATES[name]
    prior, (z_0, noise, c) = toy_prior(), toy_inputs(3)
    if perp_neg and name == "cds":
        with pytest.raises(ValueError, match="CDS has no Perp-Neg"):
            update(prior, z_0, noise, with_perp_neg(c))
        assert prior.nfe == 0
        return
    update(prior, z_0, noise, with_perp_neg(c) if perp_neg else c)
    assert prior.nfe == 3 * (bare + guidances * (4 if perp_neg else 2))


def test_bare_conditional_predictions_save_one_evaluation() -> None:
    prior = toy_prior()
    sctd.gradient(prior, *toy_inputs(3), TWO_STEP, cond_uses_cfg=False)
    assert prior.nfe == 3 * 4


def test_inversion_under_guidance_costs_a_row_a_hop() -> None:
    prior = toy_prior()
    ism.gradient(prior, *toy_inputs(3), Interval(582, 502), inversion_omega=2.0)
    assert prior.nfe == 3 * (2 * 4 + 2)


@pytest.mark.parametrize("name", UPDATES)
def test_guidance_is_one_network_call(name: str) -> None:
    sizes: list[int] = []

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        sizes.append(len(x))
        return toy_network(x, t, cond)

    update, bare, guidances = UPDATES[name]
    update(ToyPrior(network, ALPHAS), *toy_inputs(3))
    assert sorted(sizes) == [3] * bare + [6] * guidances


@pytest.mark.parametrize("name", UPDATES)
def test_gradients_reach_the_network_in_the_jacobian_variant_alone(name: str) -> None:
    graphs: list[bool] = []

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        graphs.append(torch.is_grad_enabled() and x.requires_grad)
        return toy_network(x, t, cond)

    z_0, noise, c = toy_inputs(2)
    g = UPDATES[name][0](ToyPrior(network, ALPHAS), z_0.requires_grad_(True), noise, c)
    assert not g.latent.requires_grad
    assert sum(graphs) == (1 if name == "sctd, Jacobian" else 0)


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_latents_stay_float32_around_a_half_precision_network(name: str, dtype: torch.dtype) -> None:
    seen = set()

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.update((x.dtype, cond.dtype))
        return toy_network(x.float(), t, cond.float()).to(dtype)

    inputs = toy_inputs(2)
    g = UPDATES[name][0](ToyPrior(network, ALPHAS, dtype), *inputs)
    assert seen == {dtype}
    assert g.latent.dtype == torch.float32 and torch.isfinite(g.latent).all()
    assert relative_error(g.latent, UPDATES[name][0](toy_prior(), *inputs).latent) < 0.2


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_reads_no_value_back_from_the_device(name: str) -> None:
    """On a GPU such a read would wait for all work in flight."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
            return func(*args, **(kwargs or {}))

    inputs = toy_inputs(2)
    with Watch():
        UPDATES[name][0](toy_prior(), *inputs)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_a_call_draws_times_and_noise_from_seed_and_step_alone(method: Method) -> None:
    z_0, _, conditioning = toy_inputs(2)
    first, again, later, other = (
        method(toy_prior(), z_0, conditioning, Progress(step, 100, seed, warmup=30)).latent
        for step, seed in ((5, 1), (5, 1), (6, 1), (5, 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later) and not torch.equal(first, other)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("step", [0, 29, 30, 99])
def test_a_call_is_finite_from_the_first_step_to_the_last(method: Method, step: int) -> None:
    z_0, _, conditioning = toy_inputs(2)
    g = method(toy_prior(), z_0, conditioning, Progress(step, 100, 0, warmup=30))
    assert torch.isfinite(g.latent).all() and g.latent.abs().max() > 0


# --- Guidance and noise -------------------------------------------------------------------------------


def test_perp_neg_with_zero_weights_is_plain_guidance() -> None:
    z_0, _, c = toy_inputs(3)
    perp = Conditioning(c.cond, c.neg, c.null, torch.randn(2, 3, 5, 6), torch.zeros(2, 3))
    a, b = (guided(toy_prior(), z_0, 500, k, 7.5) for k in (c, perp))
    assert torch.allclose(a, b, atol=1e-6)


def test_perp_neg_of_a_batch_equals_separate_calls() -> None:
    z_0, _, c = toy_inputs(3)
    whole_c = with_perp_neg(c)
    perp, weights = whole_c.perp, whole_c.perp_weights
    assert perp is not None and weights is not None
    whole = guided(toy_prior(), z_0, 500, whole_c, 7.5)
    for i in range(3):
        k = Conditioning(c.cond[i : i + 1], c.neg, c.null, perp[:, i : i + 1], weights[:, i : i + 1])
        assert torch.allclose(guided(toy_prior(), z_0[i : i + 1], 500, k, 7.5), whole[i : i + 1], atol=1e-5)


def test_perp_negs_directions_are_at_right_angles_to_the_prompts() -> None:
    z_0, _, c = toy_inputs(3)
    plain, steered = (guided(toy_prior(), z_0, 500, k, 7.5) for k in (c, with_perp_neg(c)))
    delta = plain - unconditional(toy_prior(), z_0, 500, replace(c, null=c.neg))
    cosine = torch.nn.functional.cosine_similarity((steered - plain).flatten(1), delta.flatten(1))
    assert (steered - plain).norm() > 0 and cosine.abs().max() < 1e-5


def test_fixed_noise_is_one_for_the_whole_run_and_offset_is_shared_by_the_batch() -> None:
    z_0 = torch.zeros(4, 4, 64, 64)
    assert torch.equal(draw_noise(z_0, 3, -1, 0.1), draw_noise(z_0, 3, -1, 0.1))
    shift = draw_noise(z_0, 3, 0, 0.1) - draw_noise(z_0, 3, 0, 0.0)
    assert torch.allclose(shift, shift[:1, :, :1, :1].expand_as(shift), atol=1e-6)


def noises(method: Method, conditioning: Conditioning, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The noise that a method hands to its update, at two steps."""
    caught: list[Tensor] = []
    module = {SDS: sds, ISM: ism, CDS: cds, GCS: gcs, SCTD: sctd}[type(method)]
    monkeypatch.setattr(
        module, "gradient", lambda p, z, noise, *rest: caught.append(noise) or Gradient(torch.zeros(1))
    )
    for step in (3, 4):
        method(toy_prior(), torch.zeros(3, 4, 8, 8), conditioning, Progress(step, 100, 0, warmup=30))
    return caught


def test_each_method_keeps_or_redraws_its_noise_as_officially(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, c = toy_inputs(3)
    p = with_perp_neg(c)
    for method, conditioning, fixed in (
        (SDS(), c, False), (ISM(), c, False), (ISM(fixed_noise=True), c, True), (CDS(), c, True),
        (GCS(), c, False), (GCS(), p, True), (GCS(noise="fixed"), c, True), (SCTD(), c, True),
        (SCTD(fixed_noise=False), c, False),
    ):  # fmt: skip
        first, second = noises(method, conditioning, monkeypatch)
        assert torch.equal(first, second) == fixed, method
    shared, _ = noises(CDS(), c, monkeypatch)
    own, _ = noises(SCTD(), c, monkeypatch)
    assert torch.equal(shared[0], shared[1]) and not torch.equal(own[0], own[1])


def test_contradicting_switches_are_refused() -> None:
    with pytest.raises(ValueError, match="set approx_G to false"):
        SCTD(unet_jacobian=True)
    with pytest.raises(ValueError, match="no room"):
        SCTD(N=80)
    with pytest.raises(ValueError, match="first segment shorter"):
        SCTD(strategy="monotone", t_tau=500)
