"""SDS, score distillation sampling (DreamFusion, Poole et al. 2023, Eq. 3).

The update is that of the shared 3DGS trunk (LucidDreamer's SDS switch, guidance/sd_utils.py): fresh
noise, an upper time bound that sinks during warm-up, weight sigma_t / alpha_t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.distillation import (
    T_MAX_BASE,
    T_MIN,
    T_SPAN,
    Gradient,
    Progress,
    draw_noise,
    uniform_int,
)
from segmentdreamer.guidance import Conditioning, guided
from segmentdreamer.prior import Prior
from segmentdreamer.randomness import generator
from segmentdreamer.solver import Timestep, add_noise, alpha, noise_to_signal, sigma

Weight = Literal["noise_to_signal", "sds", "uniform"]


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    t: Timestep,
    omega: float = 100.0,
    lam: float = 0.1,
    weight: Weight = "noise_to_signal",
) -> Gradient:
    """The SDS gradient on z_0 (B, 4, h, w): g = lam w(t) [eps_omega(z_t, t) - eps].

    t: one timestep or (B,). weight: sigma_t / alpha_t (sd_utils.py:309-315), "sds" 1 - alphas_cumprod[t]
    (threestudio, DreamFusion) or "uniform" 1. Network rows per sample: 2 guided (4 under Perp-Neg).
    """
    a = prior.alphas_cumprod
    z_t = add_noise(a, z_0, noise, t)
    residual = guided(prior, z_t, t, conditioning, omega) - noise
    w = {
        "noise_to_signal": noise_to_signal(a, t),
        "sds": sigma(a, t) ** 2,
        "uniform": torch.ones_like(alpha(a, t)),
    }[weight]
    return Gradient(lam * w * residual, scalars={"t": t, "residual_rms": residual.square().mean().sqrt()})


@dataclass(frozen=True)
class SDS:
    """SDS in the shared trunk; omega is DreamFusion's 100."""

    omega: float = 100.0  # threestudio configs/dreamfusion-sd.yaml:73
    lam: float = 0.1  # lambda_guidance
    weight: Weight = "noise_to_signal"
    offset: float = 0.1  # per-channel offset noise (LucidDreamer sd_utils.py:243)

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, progress.step, self.offset)
        t = self.draw_time(progress)
        return gradient(prior, z_0, noise, conditioning, t, self.omega, self.lam, self.weight)

    def draw_time(self, progress: Progress) -> int:
        """t uniform between 21 and an upper bound that sinks from 980 to 500 (sd_utils.py:254-258)."""
        g = generator(progress.seed, "times", progress.step)
        high = T_MAX_BASE + int(T_SPAN * progress.warmup_rate) - 1
        return uniform_int(T_MIN, high, g) + 1
