"""SDS, score distillation sampling (DreamFusion, Poole et al. 2023, Eq. 3).

The update is that of the shared 3DGS trunk (LucidDreamer's SDS switch, guidance/sd_utils.py): fresh
noise, an upper time bound that sinks during warm-up, weight sigma_t / alpha_t. threestudio's own is
SDS(omega=101, lam=1, weight="sds", offset=0, times="threestudio", batch_mean=True).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import add_noise, alpha, noise_to_signal, sigma
from segmentdreamer.diffusion.terms import bind, draw_noise, rms
from segmentdreamer.diffusion.times import draw_each, draw_t
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Prior, Progress, Timestep, Weight


@dataclass(frozen=True)
class SDS(Method):
    """SDS in the shared trunk; omega is DreamFusion's 100."""

    omega: Weight = 100.0  # threestudio configs/dreamfusion-sd.yaml:73
    lam: Weight = 0.1  # lambda_guidance
    # sd_utils.py:309-315; the others are threestudio's (stable_diffusion_guidance.py:255-265)
    weight: Literal["noise_to_signal", "sds", "uniform", "fantasia3d"] = "noise_to_signal"
    offset: Weight = 0.1  # per-channel offset noise (LucidDreamer sd_utils.py:243)
    # "trunk": one t for the batch below a sinking bound (sd_utils.py:254-258); else each sample its own
    times: Literal["trunk", "threestudio"] = "trunk"
    batch_mean: bool = False  # divide by B, as threestudio does

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, False, self.offset)
        t = draw_t(progress) if self.times == "trunk" else draw_each(progress, len(z_0), z_0.device)
        return self.update(prior, z_0, noise, text, t)

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep) -> Gradient:
        """g = lam w(t) [eps_omega(z_t, t) - eps] on z_0 (B, 4, h, w); t: one, or (B,).

        Network rows per sample: 2 guided (4 under Perp-Neg).
        """
        a, (_, eps) = prior.alphas_cumprod, bind(prior, text)
        residual = eps(add_noise(a, z_0, noise, t), t, self.omega) - noise
        w = {
            "noise_to_signal": noise_to_signal(a, t),
            "sds": sigma(a, t) ** 2,
            "uniform": torch.ones_like(alpha(a, t)),
            "fantasia3d": alpha(a, t) * sigma(a, t) ** 2,
        }[self.weight]
        lam = self.lam / len(z_0) if self.batch_mean else self.lam
        return Gradient(lam * w * residual, scalars={"t": t, "residual_rms": rms(residual)})
