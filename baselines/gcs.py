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

from segmentdreamer.diffusion.guidance import Conditioning, guided, unconditional
from segmentdreamer.diffusion.solver import add_noise, alpha, denoised, ode_step
from segmentdreamer.diffusion.times import Times, draw_compact
from segmentdreamer.interfaces import Gradient, Progress, draw_noise, pixel_gradient, rms
from segmentdreamer.prior.diffusers_prior import Prior


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    times: Times,
    omega: float = 7.5,
    lam: float = 0.1,
    w_cc: float = 1.0,
    w_gc: float = 0.5,
    w_cp: float = 0.5,
) -> Gradient:
    """The GCS gradient on z_0 (B, 4, h, w) and on the images x, in closed form (gcs_utils.py:353-388).

    g = 2 lam/B {w_cc alpha_e [G_t - G_s] + w_gc [x_0_null - x_0_y]}: compact consistency and guidance;
    on x: 2 lam w_cp/B [D(x_0_null) - D(x_0_y)]. Without the network's Jacobian d z_e / d z_0 = alpha_e and
    every closed loop is the identity, so this equals the gradient of the official sums of squares.
    Network rows per sample: 4 without prompt and 2 x 2 guided (2 x 4 under Perp-Neg); the second guided
    call only if w_gc or w_cp is positive.
    """
    a, (t, s, e) = prior.alphas_cumprod, (times.t, times.s, times.e)
    z_e = add_noise(a, z_0, noise, e)
    eps_e = unconditional(prior, z_e, e, conditioning)
    z_s = ode_step(a, z_e, e, s, eps_e)
    z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, conditioning))
    eps_hat = guided(prior, z_t, t, conditioning, omega)
    z_s_hat = ode_step(a, z_t, t, s, eps_hat)

    G_t = ode_step(a, z_t, t, e, unconditional(prior, z_t, t, conditioning))
    G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, conditioning))
    g = w_cc * alpha(a, e) * (G_t - G_s)
    scalars: dict[str, int | Tensor] = {"t": t, "s": s, "e": e, "cc_rms": rms(G_t - G_s)}
    pixel = None
    if w_gc > 0 or w_cp > 0:
        x_0_null = denoised(a, z_e, e, eps_e)
        z_e_y = ode_step(a, z_t, t, e, eps_hat)
        x_0_y = denoised(a, z_e_y, e, guided(prior, z_e_y, e, conditioning, omega))
        g = g + w_gc * (x_0_null - x_0_y)
        scalars["gc_rms"] = rms(x_0_null - x_0_y)
        pixel = pixel_gradient(prior, x_0_null, x_0_y, lam * w_cp) if w_cp > 0 else None
    return Gradient(2 * lam / len(z_0) * g, pixel, scalars)


@dataclass(frozen=True)
class GCS:
    """GCS with the official defaults (configs/full_model/*.yaml)."""

    omega: float = 7.5  # guidance_scale
    lam: float = 0.1  # lambda_guidance
    w_cc: float = 1.0  # compact consistency
    w_gc: float = 0.5  # guided consistency
    w_cp: float = 0.5  # pixel constraint, rgb_scale 1
    delta: int = 80  # delta_t
    # "official": fixed under Perp-Neg, fresh under CFG, whose path ignores fix_noise (gcs_utils.py:434)
    noise: Literal["official", "fixed", "fresh"] = "official"
    offset: float = 0.1  # per-channel offset noise

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        fixed = self.noise == "fixed" or (self.noise == "official" and conditioning.perp is not None)
        noise = draw_noise(z_0, progress.seed, -1 if fixed else progress.step, self.offset)
        times = draw_compact(self.delta, progress)
        return gradient(
            prior, z_0, noise, conditioning, times, self.omega, self.lam, self.w_cc, self.w_gc, self.w_cp
        )
