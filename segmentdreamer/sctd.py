"""SCTD, segmented consistency trajectory distillation (SegmentDreamer, ICCV 2025, Eqs. 9-11).

Symbols: z_e is the latent noised to its segment's lower edge e; z_s and z_t follow it along the
unconditional ODE (tilde); z_s_hat steps back from z_t with guidance; G carries a point to e.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import conditional, unconditional
from segmentdreamer.diffusion.solver import add_noise, alpha, denoised, noise_to_signal, ode_step
from segmentdreamer.diffusion.terms import bind, draw_noise, pixel_gradient, rms
from segmentdreamer.diffusion.times import Times, draw_segmented
from segmentdreamer.interfaces import (
    Conditioning,
    Count,
    Gradient,
    Method,
    Prior,
    Progress,
    Scalars,
    Time,
    Weight,
    Whole,
)
from segmentdreamer.segments import T_MAX, T_MIN, equal_edges, monotone_edges


@dataclass(frozen=True)
class SCTD(Method):
    """SCTD with the official defaults (README, config/*.yaml, sctd_utils.py)."""

    omega: Weight = 7.5  # guid_scale
    lam: Weight = 0.1  # lambda_guidance
    N: Count = 5  # phase_num of the README
    strategy: Literal["equal", "monotone"] = "equal"  # t_mode; "equal" is the official "uniform"
    t_tau: Whole = 150  # t_threshold: two-step inversion from here on
    decouple_mono: bool = False  # monotone: first segment half an equal one instead of ending at t_tau
    floor_mono: bool = False  # monotone: the official integer increment of the lengths
    delta: Time = 80  # delta_t, the least distance of t from its edge
    redraw_t: bool = False  # redraw t in its segment instead of lifting it to e + delta
    self_sign: Literal[1, -1] = 1  # sign of the self-consistency term; the paper's norm form has -1
    cond_uses_cfg: bool = True  # G(., y) takes the guided prediction; false: eps(., y), as in theory
    approx_G: bool = True  # G(z_t, t, null) is z_e, the paper's approximation; false: evaluated
    unet_jacobian: bool = False  # with approx_G false: pull the bracket back through the network in G
    w_cp: Weight = 0.0  # weight of the pixel term; 0 in every official config
    fixed_noise: bool = True  # fix_noise
    offset: Weight = 0.1  # per-channel offset noise; the official Perp-Neg path has 0.05

    def __post_init__(self) -> None:
        if self.unet_jacobian and self.approx_G:
            raise ValueError("unet_jacobian differentiates the exact G; set approx_G to false as well")
        if T_MAX - self.edges()[-2] < 21:
            raise ValueError(f"N = {self.N} leaves the last segment no room for e + 10 <= s <= t - 11")

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, self.fixed_noise, self.offset)
        times = draw_segmented(self.edges(), self.delta, self.redraw_t, progress)
        return self.update(prior, z_0, noise, text, times)

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, times: Times) -> Gradient:
        """g = lam sigma_t/alpha_t { self_sign [G(z_s_hat, s) - G_t] + (omega + 1) [G_t - G(z_t, t, y)] }.

        On z_0 (B, 4, h, w), as sctd_utils.py:353-427 forms it. Network rows per sample: 3 without prompt (2
        where t < t_tau) and 2 guided (4 under Perp-Neg); exact G: 1 more; pixel term: 1 and 2 (4) more.
        """
        a, (S, eps) = prior.alphas_cumprod, bind(prior, text)
        t, s, e = times.t, times.s, times.e
        z_e = add_noise(a, z_0, noise, e)
        if t >= self.t_tau:  # Eq. 11: two-step inversion
            z_s = S(z_e, e, s, eps(z_e, e))
            z_t = S(z_s, s, t, eps(z_s, s))
        else:
            z_t = S(z_e, e, t, eps(z_e, e))

        eps_hat = eps(z_t, t, self.omega) if self.cond_uses_cfg else conditional(prior, z_t, t, text)
        z_s_hat = S(z_t, t, s, eps_hat)
        G_s = S(z_s_hat, s, e, eps(z_s_hat, s))
        G_t_y, G_t = S(z_t, t, e, eps_hat), z_e
        if not self.approx_G:
            z_t, G_t = exact_G(prior, z_t, text, times, self.unet_jacobian)

        g = self.self_sign * (G_s - G_t) + (self.omega + 1) * (G_t - G_t_y)  # Eq. 10
        if self.unet_jacobian:  # like the official gradient, without the factor alpha_e of d G / d z_0
            g = torch.autograd.grad(G_t, z_t, g)[0] * alpha(a, t) / alpha(a, e)
        pixel = None
        if self.w_cp > 0:  # sctd_utils.py:414-427, which evaluates eps(z_e, e) anew
            x_1 = denoised(a, G_t_y, e, eps(G_t_y, e, self.omega))
            x_2 = denoised(a, z_e, e, eps(z_e, e))
            pixel = pixel_gradient(prior, x_2, x_1, self.w_cp)
        scalars: Scalars = {
            "t": t, "s": s, "e": e, "one_step": t < self.t_tau, "collapsed": times.collapsed,
            "self_rms": rms(G_s - G_t), "cross_rms": rms(G_t - G_t_y),
        }  # fmt: skip
        return Gradient(self.lam * noise_to_signal(a, t) * g, pixel, scalars)

    def edges(self) -> list[int]:
        """The timesteps that bound the segments."""
        if self.strategy == "equal":
            return equal_edges(self.N)
        first = (T_MAX - T_MIN) / self.N / 2 if self.decouple_mono else self.t_tau - T_MIN
        return monotone_edges(self.N, first, floor=self.floor_mono)


def exact_G(
    prior: Prior, z_t: Tensor, text: Conditioning, times: Times, jacobian: bool
) -> tuple[Tensor, Tensor]:
    """z_t and G(z_t, t, null), evaluated; with `jacobian` the latter can be differentiated by the former."""
    with torch.set_grad_enabled(jacobian):
        z_t = z_t.detach().requires_grad_(jacobian)
        eps = unconditional(prior, z_t, times.t, text, graph=jacobian)
        return z_t, ode_step(prior.alphas_cumprod, z_t, times.t, times.e, eps)
