"""GCS, guided consistency sampling (Connect3D, Li et al. 2024), with its three terms.

Symbols: the unconditional ODE leads z_e -> z_s -> z_t; z_s_hat steps back with guidance; G carries a point
to e and x_0 to the clean end. Source: guidance/gcs_utils.py. The system's brightness equalization is the
trunk's (segmentdreamer/scene/brightness.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import add_noise, alpha, denoised
from segmentdreamer.diffusion.terms import bind, draw_noise, pixel_gradient, rms
from segmentdreamer.diffusion.times import Times, draw_compact
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Prior, Progress, Time, Weight


@dataclass(frozen=True)
class GCS(Method):
    """GCS with the official defaults (configs/full_model/*.yaml)."""

    omega: Weight = 7.5  # guidance_scale
    lam: Weight = 0.1  # lambda_guidance
    w_cc: Weight = 1.0  # compact consistency
    w_gc: Weight = 0.5  # guided consistency
    w_cp: Weight = 0.5  # pixel constraint, rgb_scale 1
    delta: Time = 80  # delta_t
    # "official": fixed under Perp-Neg, fresh under CFG, whose path ignores fix_noise (gcs_utils.py:434)
    noise: Literal["official", "fixed", "fresh"] = "official"
    offset: Weight = 0.1  # per-channel offset noise

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        fixed = self.noise == "fixed" or (self.noise == "official" and text.perp is not None)
        noise = draw_noise(z_0, progress, fixed, self.offset)
        return self.update(prior, z_0, noise, text, draw_compact(self.delta, progress))

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, times: Times) -> Gradient:
        """g = 2 lam/B {w_cc alpha_e [G_t - G_s] + w_gc [x_0_null - x_0_y]} on z_0 (B, 4, h, w).

        On the images x: 2 lam w_cp/B [D(x_0_null) - D(x_0_y)] (gcs_utils.py:353-388). Without the network's
        Jacobian d z_e / d z_0 = alpha_e and every closed loop is the identity, so this equals the gradient of
        the official sums of squares. Network rows per sample: 4 without prompt and 2 x 2 guided (2 x 4 under
        Perp-Neg); the second guided call only if w_gc or w_cp is positive.
        """
        a, (S, eps) = prior.alphas_cumprod, bind(prior, text)
        t, s, e = times.t, times.s, times.e
        z_e = add_noise(a, z_0, noise, e)
        eps_e = eps(z_e, e)
        z_s = S(z_e, e, s, eps_e)
        z_t = S(z_s, s, t, eps(z_s, s))
        eps_hat = eps(z_t, t, self.omega)
        z_s_hat = S(z_t, t, s, eps_hat)

        G_t = S(z_t, t, e, eps(z_t, t))
        G_s = S(z_s_hat, s, e, eps(z_s_hat, s))
        g = self.w_cc * alpha(a, e) * (G_t - G_s)
        scalars: dict[str, int | Tensor] = {"t": t, "s": s, "e": e, "cc_rms": rms(G_t - G_s)}
        pixel = None
        if self.w_gc > 0 or self.w_cp > 0:
            x_0_null = denoised(a, z_e, e, eps_e)
            z_e_y = S(z_t, t, e, eps_hat)
            x_0_y = denoised(a, z_e_y, e, eps(z_e_y, e, self.omega))
            g = g + self.w_gc * (x_0_null - x_0_y)
            scalars["gc_rms"] = rms(x_0_null - x_0_y)
            if self.w_cp > 0:
                pixel = pixel_gradient(prior, x_0_null, x_0_y, self.lam * self.w_cp)
        return Gradient(2 * self.lam / len(z_0) * g, pixel, scalars)
