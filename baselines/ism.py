"""ISM, interval score matching (LucidDreamer, Liang et al. 2024, Eqs. 9-17).

Symbols: x_s is the latent inverted along the unconditional ODE to s in a few hops, x_t one step further;
the interval t - s shrinks to delta during warm-up. Source: guidance/sd_utils.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import Conditioning, guided, unconditional
from segmentdreamer.diffusion.solver import add_noise, noise_to_signal, ode_step
from segmentdreamer.diffusion.times import annealed_gap, draw_t
from segmentdreamer.interfaces import Gradient, Progress, draw_noise, rms
from segmentdreamer.prior.diffusers_prior import Prior


@dataclass(frozen=True)
class Interval:
    """One step's timesteps s < t, shared by the batch."""

    t: int
    s: int


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    times: Interval,
    omega: float = 7.5,
    lam: float = 0.1,
    hop: int = 200,
    max_hops: int = 5,
    inversion_omega: float = 1.0,
) -> Gradient:
    """The ISM gradient on z_0 (B, 4, h, w): g = lam sigma_t/alpha_t [eps_omega(x_t, t) - eps(x_s, s, null)].

    sd_utils.py:159-215, 266-315. Network rows per sample: one a hop, max(1, ceil((s - 1) / hop)), one at
    s, and 2 guided (4 under Perp-Neg). inversion_omega > 1 inverts along eps(null) + inversion_omega
    [eps(negative) - eps(null)], for one more row a hop and at s.
    """
    a, (t, s) = prior.alphas_cumprod, (times.t, times.s)

    def inverting(x: Tensor, at: int) -> Tensor:
        eps_null = unconditional(prior, x, at, conditioning)
        if inversion_omega <= 1:
            return eps_null
        return eps_null + inversion_omega * (prior.eps(x, at, conditioning.neg) - eps_null)

    start = max(s - hop * max_hops, 1)
    x_s = add_noise(a, z_0, noise, start)
    for r in range(start, max(s, start + 1), hop):  # a hop of no length is evaluated too, as officially
        x_s = ode_step(a, x_s, r, min(r + hop, s), inverting(x_s, r))
    eps_s = inverting(x_s, s)
    x_t = ode_step(a, x_s, s, t, eps_s)

    residual = guided(prior, x_t, t, conditioning, omega) - eps_s
    g = lam * noise_to_signal(a, t) * residual
    return Gradient(g, scalars={"t": t, "s": s, "residual_rms": rms(residual)})


@dataclass(frozen=True)
class ISM:
    """ISM with the official defaults (arguments/__init__.py:76-109, configs/*.yaml)."""

    omega: float = 7.5  # guidance_scale
    lam: float = 0.1  # lambda_guidance
    delta: int = 80  # delta_t; 50 or 25 for some official prompts
    hop: int = 200  # xs_delta_t
    max_hops: int = 5  # xs_inv_steps
    inversion_omega: float = 1.0  # denoise_guidance_scale
    fixed_noise: bool = False  # fix_noise
    offset: float = 0.1  # per-channel offset noise

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, -1 if self.fixed_noise else progress.step, self.offset)
        times = self.draw_times(progress, perp_neg=conditioning.perp is not None)
        return gradient(
            prior, z_0, noise, conditioning, times, self.omega, self.lam, self.hop, self.max_hops,
            self.inversion_omega,
        )  # fmt: skip

    def draw_times(self, progress: Progress, perp_neg: bool = False) -> Interval:
        """t with a sinking upper bound, s an annealed interval below it, at least 1 (sd_utils.py:249-258).

        The official Perp-Neg path rounds the interval up, the other one down.
        """
        t = draw_t(progress)
        return Interval(t, max(t - annealed_gap(self.delta, progress, ceil=perp_neg), 1))
