"""SCTD, segmented consistency trajectory distillation (SegmentDreamer, ICCV 2025, Eqs. 9-11).

Symbols: z_e is the latent noised to its segment's lower edge e; z_s and z_t follow it along the
unconditional ODE (tilde); z_s_hat steps back from z_t with guidance; G carries a point to e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import Conditioning, conditional, guided, unconditional
from segmentdreamer.diffusion.solver import add_noise, alpha, denoised, noise_to_signal, ode_step
from segmentdreamer.diffusion.times import Times, draw_segmented
from segmentdreamer.interfaces import Gradient, Progress, Scalars, draw_noise, pixel_gradient, rms
from segmentdreamer.prior.diffusers_prior import Prior
from segmentdreamer.segments import T_MAX, T_MIN, equal_edges, monotone_edges


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    times: Times,
    omega: float = 7.5,
    lam: float = 0.1,
    t_tau: int = 150,
    self_sign: int = 1,
    cond_uses_cfg: bool = True,
    approx_G: bool = True,
    unet_jacobian: bool = False,
    w_cp: float = 0.0,
) -> Gradient:
    """The SCTD gradient on z_0 (B, 4, h, w), as the official code forms it (sctd_utils.py:353-427).

    g = lam sigma_t/alpha_t { self_sign [G(z_s_hat, s, null) - G_t] + (omega + 1) [G_t - G(z_t, t, y)] },
    where G_t = G(z_t, t, null) is taken to be z_e (the paper's approximation) unless `approx_G` is false;
    with `unet_jacobian` the bracket is also pulled back through the network in G_t. `cond_uses_cfg` puts
    the guided prediction into G(., y), as the official code does; the theory has eps(., y) there.
    Network rows per sample: 3 without prompt (2 where t < t_tau) and 2 guided (4 under Perp-Neg); exact
    G: 1 more; pixel term (w_cp > 0): 1 more without prompt and 2 (4) guided.
    """
    a, (t, s, e) = prior.alphas_cumprod, (times.t, times.s, times.e)
    z_e = add_noise(a, z_0, noise, e)
    eps_e = unconditional(prior, z_e, e, conditioning)
    if t >= t_tau:  # Eq. 11: two-step inversion
        z_s = ode_step(a, z_e, e, s, eps_e)
        z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, conditioning))
    else:
        z_t = ode_step(a, z_e, e, t, eps_e)

    if cond_uses_cfg:
        eps_hat = guided(prior, z_t, t, conditioning, omega)
    else:
        eps_hat = conditional(prior, z_t, t, conditioning)
    z_s_hat = ode_step(a, z_t, t, s, eps_hat)
    G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, conditioning))
    G_t_y = ode_step(a, z_t, t, e, eps_hat)
    z_t, G_t = (z_t, z_e) if approx_G else _exact_G(prior, z_t, times, conditioning, unet_jacobian)

    self_term, cross_term = G_s - G_t, G_t - G_t_y
    g = self_sign * self_term + (omega + 1) * cross_term  # Eq. 10
    if unet_jacobian:  # like the official gradient, without the factor alpha_e of d G / d z_0
        g = torch.autograd.grad(G_t, z_t, g)[0] * alpha(a, t) / alpha(a, e)
    pixel = _pixel_term(prior, z_e, G_t_y, e, conditioning, omega, w_cp) if w_cp > 0 else None
    flags: Scalars = {"t": t, "s": s, "e": e, "one_step": t < t_tau, "collapsed": times.collapsed}
    sizes: Scalars = {"self_rms": rms(self_term), "cross_rms": rms(cross_term)}
    return Gradient(lam * noise_to_signal(a, t) * g, pixel, {**flags, **sizes})


def _exact_G(
    prior: Prior, z_t: Tensor, times: Times, conditioning: Conditioning, jacobian: bool
) -> tuple[Tensor, Tensor]:
    """z_t and G(z_t, t, null), evaluated; with `jacobian` the latter can be differentiated by the former."""
    with torch.set_grad_enabled(jacobian):
        z_t = z_t.detach().requires_grad_(jacobian)
        eps = unconditional(prior, z_t, times.t, conditioning, graph=jacobian)
        return z_t, ode_step(prior.alphas_cumprod, z_t, times.t, times.e, eps)


def _pixel_term(
    prior: Prior, z_e: Tensor, G_t_y: Tensor, e: int, conditioning: Conditioning, omega: float, w_cp: float
) -> Tensor:
    """The pixel gradient of D(x_2) - D(x_1) (sctd_utils.py:414-427); evaluates eps(z_e, e) anew, as there."""
    a = prior.alphas_cumprod
    x_1 = denoised(a, G_t_y, e, guided(prior, G_t_y, e, conditioning, omega))
    x_2 = denoised(a, z_e, e, unconditional(prior, z_e, e, conditioning))
    return pixel_gradient(prior, x_2, x_1, w_cp)


@dataclass(frozen=True)
class SCTD:
    """SCTD with the official defaults (README, config/*.yaml, sctd_utils.py)."""

    omega: float = 7.5  # guid_scale
    lam: float = 0.1  # lambda_guidance
    N: int = 5  # phase_num of the README
    strategy: Literal["equal", "monotone"] = "equal"  # t_mode; "equal" is the official "uniform"
    t_tau: int = 150  # t_threshold: two-step inversion from here on
    decouple_mono: bool = False  # monotone: first segment half an equal one instead of ending at t_tau
    floor_mono: bool = False  # monotone: the official integer increment of the lengths
    delta: int = 80  # delta_t, the least distance of t from its edge
    redraw_t: bool = False  # redraw t in its segment instead of lifting it to e + delta
    self_sign: int = 1  # sign of the self-consistency term; the paper's norm form has -1
    cond_uses_cfg: bool = True  # G(., y) takes the guided prediction; false: eps(., y), as in theory
    approx_G: bool = True  # G(z_t, t, null) is z_e; false: evaluated
    unet_jacobian: bool = False  # with approx_G false: differentiate G through the network
    w_cp: float = 0.0  # weight of the pixel term; 0 in every official config
    fixed_noise: bool = True  # fix_noise
    offset: float = 0.1  # per-channel offset noise; the official Perp-Neg path has 0.05

    def __post_init__(self) -> None:
        if self.unet_jacobian and self.approx_G:
            raise ValueError("unet_jacobian differentiates the exact G; set approx_G to false as well")
        if T_MAX - self.edges()[-2] < 21:
            raise ValueError(f"N = {self.N} leaves the last segment no room for e + 10 <= s <= t - 11")

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, -1 if self.fixed_noise else progress.step, self.offset)
        times = draw_segmented(self.edges(), self.delta, self.redraw_t, progress)
        return gradient(
            prior, z_0, noise, conditioning, times, self.omega, self.lam, self.t_tau, self.self_sign,
            self.cond_uses_cfg, self.approx_G, self.unet_jacobian, self.w_cp,
        )  # fmt: skip

    def edges(self) -> list[int]:
        """The timesteps that bound the segments."""
        if self.strategy == "equal":
            return equal_edges(self.N)
        first = (T_MAX - T_MIN) / self.N / 2 if self.decouple_mono else self.t_tau - T_MIN
        return monotone_edges(self.N, first, floor=self.floor_mono)
