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

from segmentdreamer.diffusion.guidance import Conditioning, guided
from segmentdreamer.diffusion.solver import Timestep, add_noise, alpha, noise_to_signal, sigma
from segmentdreamer.diffusion.times import draw_t
from segmentdreamer.interfaces import Gradient, Progress, draw_noise, rms
from segmentdreamer.placement import send
from segmentdreamer.prior.diffusers_prior import Prior
from segmentdreamer.randomness import generator
from segmentdreamer.segments import T_MAX, T_MIN

Weight = Literal["noise_to_signal", "sds", "uniform", "fantasia3d"]


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

    t: one timestep or (B,). weight: sigma_t / alpha_t (sd_utils.py:309-315), or threestudio's
    (stable_diffusion_guidance.py:255-265) "sds" 1 - alphas_cumprod[t], "uniform" 1 and "fantasia3d"
    sqrt(alphas_cumprod[t]) (1 - alphas_cumprod[t]). Network rows per sample: 2 guided (4 under Perp-Neg).
    """
    a = prior.alphas_cumprod
    z_t = add_noise(a, z_0, noise, t)
    residual = guided(prior, z_t, t, conditioning, omega) - noise
    w = {
        "noise_to_signal": noise_to_signal(a, t),
        "sds": sigma(a, t) ** 2,
        "uniform": torch.ones_like(alpha(a, t)),
        "fantasia3d": alpha(a, t) * sigma(a, t) ** 2,
    }[weight]
    return Gradient(lam * w * residual, scalars={"t": t, "residual_rms": rms(residual)})


@dataclass(frozen=True)
class SDS:
    """SDS in the shared trunk; omega is DreamFusion's 100."""

    omega: float = 100.0  # threestudio configs/dreamfusion-sd.yaml:73
    lam: float = 0.1  # lambda_guidance
    weight: Weight = "noise_to_signal"
    offset: float = 0.1  # per-channel offset noise (LucidDreamer sd_utils.py:243)
    times: Literal["trunk", "threestudio"] = "trunk"  # threestudio: each sample its own in 20..980, always
    batch_mean: bool = False  # divide by B, as threestudio does

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, progress.step, self.offset)
        t = self.draw_times(progress, len(z_0), z_0.device)
        lam = self.lam / len(z_0) if self.batch_mean else self.lam
        return gradient(prior, z_0, noise, conditioning, t, self.omega, lam, self.weight)

    def draw_times(self, progress: Progress, batch: int, device: torch.device | str = "cpu") -> Timestep:
        """One t for the batch below a sinking bound (sd_utils.py:254-258), or threestudio's (B,)."""
        if self.times == "trunk":
            return draw_t(progress)
        g = generator(progress.seed, "t", progress.step)
        return send(torch.randint(T_MIN, T_MAX + 1, (batch,), generator=g), device)
