"""CSD, classifier score distillation (Yu et al., ICLR 2024): guidance alone, without the generative prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import Conditioning, guidance
from segmentdreamer.diffusion.solver import Timestep, add_noise, noise_to_signal
from segmentdreamer.diffusion.times import draw_t
from segmentdreamer.interfaces import Gradient, Progress, draw_noise, rms
from segmentdreamer.prior.diffusers_prior import Prior


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    t: Timestep,
    omega: float = 7.5,
    lam: float = 0.1,
) -> Gradient:
    """The CSD gradient on z_0 (B, 4, h, w): g = lam sigma_t/alpha_t omega [eps(z_t, t, y) - eps(z_t, t, n)].

    Network rows per sample: 2 guided (4 under Perp-Neg).
    """
    a = prior.alphas_cumprod
    _, direction = guidance(prior, add_noise(a, z_0, noise, t), t, conditioning)
    g = lam * noise_to_signal(a, t) * omega * direction
    return Gradient(g, scalars={"t": t, "direction_rms": rms(direction)})


@dataclass(frozen=True)
class CSD:
    """CSD with the trunk's times, weight and noise."""

    omega: float = 7.5
    lam: float = 0.1
    offset: float = 0.1

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, progress.step, self.offset)
        return gradient(prior, z_0, noise, conditioning, draw_t(progress), self.omega, self.lam)
