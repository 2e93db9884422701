"""ISM, interval score matching (LucidDreamer, Liang et al. 2024, Eqs. 9-17).

Symbols: x_s is the latent inverted along the unconditional ODE to s in a few hops, x_t one step further;
the interval t - s shrinks to delta during warm-up. Source: guidance/sd_utils.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import add_noise, noise_to_signal
from segmentdreamer.diffusion.terms import bind, draw_noise, rms
from segmentdreamer.diffusion.times import annealed_gap, draw_t
from segmentdreamer.interfaces import Conditioning, Count, Gradient, Method, Prior, Progress, Time, Weight


@dataclass(frozen=True)
class Interval:
    """One step's timesteps s < t, shared by the batch."""

    t: int
    s: int


@dataclass(frozen=True)
class ISM(Method):
    """ISM with the official defaults (arguments/__init__.py:76-109, configs/*.yaml)."""

    omega: Weight = 7.5  # guidance_scale
    lam: Weight = 0.1  # lambda_guidance
    delta: Time = 80  # delta_t; 50 or 25 for some official prompts
    hop: Count = 200  # xs_delta_t
    max_hops: Count = 5  # xs_inv_steps
    inversion_omega: Weight = 1.0  # denoise_guidance_scale; above 1 the inversion is steered to the negative
    fixed_noise: bool = False  # fix_noise
    offset: Weight = 0.1  # per-channel offset noise

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, self.fixed_noise, self.offset)
        return self.update(prior, z_0, noise, text, self.draw_times(progress, text.perp is not None))

    @torch.no_grad()
    def update(
        self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, times: Interval
    ) -> Gradient:
        """g = lam sigma_t/alpha_t [eps_omega(x_t, t) - eps(x_s, s)] on z_0 (B, 4, h, w).

        sd_utils.py:159-215, 266-315. Network rows per sample: one a hop, max(1, ceil((s - 1) / hop)), one at
        s, and 2 guided (4 under Perp-Neg); with inversion_omega > 1 one more a hop and at s.
        """
        a, (S, eps) = prior.alphas_cumprod, bind(prior, text)
        t, s = times.t, times.s

        def inverting(x: Tensor, at: int) -> Tensor:
            if self.inversion_omega <= 1:
                return eps(x, at)
            eps_null = eps(x, at)
            return eps_null + self.inversion_omega * (prior.eps(x, at, text.neg) - eps_null)

        start = max(s - self.hop * self.max_hops, 1)
        x_s = add_noise(a, z_0, noise, start)
        for r in range(start, max(s, start + 1), self.hop):  # an empty hop is evaluated too, as officially
            x_s = S(x_s, r, min(r + self.hop, s), inverting(x_s, r))
        eps_s = inverting(x_s, s)
        x_t = S(x_s, s, t, eps_s)

        residual = eps(x_t, t, self.omega) - eps_s
        g = self.lam * noise_to_signal(a, t) * residual
        return Gradient(g, scalars={"t": t, "s": s, "residual_rms": rms(residual)})

    def draw_times(self, progress: Progress, perp_neg: bool = False) -> Interval:
        """t with a sinking upper bound, s an annealed interval below it, at least 1 (sd_utils.py:249-258).

        The official Perp-Neg path rounds the interval up, the other one down.
        """
        t = draw_t(progress)
        return Interval(t, max(t - annealed_gap(self.delta, progress, ceil=perp_neg), 1))
